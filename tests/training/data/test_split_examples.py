"""The split: by a hash, so that an example stays on its side."""

from pathlib import Path

import pytest

from dilmac.core import InputError, part_of
from dilmac.training.data.read import read_instructions
from dilmac.training.data.split import split_examples
from written_data import GOOD, write


def test_equal_instructions_stay_on_one_side(tmp_path: Path) -> None:
    lines = [{**GOOD, "instruction": f"Soru {n % 50}"} for n in range(200)]
    examples = read_instructions(write(tmp_path / "data.jsonl", *lines))
    split = split_examples(examples, validation_percent=20, test_percent=0)
    assert len(split.train) + len(split.validation) == 200 and split.validation
    assert not split.test
    sides = [
        {example.messages[0].content for example in side}
        for side in (split.train, split.validation)
    ]
    assert not sides[0] & sides[1]


def test_the_id_decides_where_there_is_one(tmp_path: Path) -> None:
    lines = [{**GOOD, "id": f"soru-{n}"} for n in range(300)] + [{**GOOD, "id": 7}]
    examples = read_instructions(write(tmp_path / "data.jsonl", *lines))
    assert [example.key for example in examples[-2:]] == ["soru-299", "7"]
    split = split_examples(examples, validation_percent=10, test_percent=10)
    for part in ("train", "validation", "test"):
        side = getattr(split, part)
        assert side and all(part_of(example.key) == part for example in side)
    grown = split_examples(examples[:150], validation_percent=10, test_percent=10)
    assert {e.key for e in grown.test} <= {e.key for e in split.test}


def test_a_handful_on_one_side_is_trained_on_but_never_a_test(tmp_path: Path) -> None:
    keys = [f"soru-{n}" for n in range(100)]
    (validated,) = [key for key in keys if part_of(key) == "validation"][:1]
    (tested,) = [key for key in keys if part_of(key) == "test"][:1]
    (one,) = read_instructions(write(tmp_path / "one.jsonl", {**GOOD, "id": validated}))
    split = split_examples([one], validation_percent=10, test_percent=10)
    assert split.train == [one] and not split.validation
    (other,) = read_instructions(write(tmp_path / "other.jsonl", {**GOOD, "id": tested}))
    with pytest.raises(InputError, match="fall into the test part"):
        split_examples([other], validation_percent=10, test_percent=10)
