"""Instructions: validated where they stand, masked, never truncated."""

import json
from pathlib import Path

import pytest

from dilmac.core import InputError, bundled_instructions, part_of
from dilmac.tokenizer import IM_END, Tokenizer
from dilmac.training.data.read import data_sources, read_instructions
from dilmac.training.data.records import data_files
from dilmac.training.data.split import split_examples
from dilmac.training.instruct import encode_examples
from dilmac.training.windows import IGNORED

GOOD = {"instruction": "Selam ver.", "response": "Merhaba!"}


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{bad json", "no JSON"),
        ("[1, 2]", "no JSON object"),
        ({"instruction": "a"}, "'response' is missing"),
        ({"instruction": "a", "response": ""}, "'response' is empty"),
        ({"instruction": "a", "response": 3}, "'response' is a number, not text"),
        ({"instruction": "  ", "response": "b"}, "'instruction' is empty"),
        ('{"instruction": "a\\ud800", "response": "b"}', "lone surrogate"),
        ({**GOOD, "id": 1.5}, "'id' is neither text nor a whole number"),
    ],
)
def test_a_fault_names_its_line(tmp_path: Path, line: object, fault: str) -> None:
    path = write(tmp_path / "data.jsonl", GOOD, line)
    with pytest.raises(InputError, match=fault) as caught:
        read_instructions(path)
    assert caught.value.where == f"{path}:2"


def test_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no example"):
        read_instructions(write(tmp_path / "empty.jsonl", ""))
    with pytest.raises(InputError, match="no such file"):
        read_instructions(tmp_path / "nowhere.jsonl")


def test_input_stands_below_the_instruction(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", {**GOOD, "input": "Kısa olsun."})
    assert read_instructions(path)[0].messages[0].content == "Selam ver.\n\nKısa olsun."


def test_only_the_answer_and_its_end_are_learned(tmp_path: Path, sample_tokenizer: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    examples = read_instructions(write(tmp_path / "data.jsonl", GOOD))
    (row,), too_long = encode_examples(examples, tokenizer, 128)
    learned = [label for label in row.labels if label != IGNORED]
    assert not too_long
    assert learned == [*tokenizer.encode("Merhaba!"), tokenizer.control_id(IM_END)]
    assert len(row.labels) == len(row.input_ids)


def test_long_examples_are_left_out_whole(tmp_path: Path, sample_tokenizer: Path) -> None:
    long = {"instruction": "Anlat.", "response": "uzun " * 200}
    path = write(tmp_path / "data.jsonl", GOOD, long)
    tokenizer = Tokenizer(sample_tokenizer)
    rows, too_long = encode_examples(read_instructions(path), tokenizer, 64)
    assert len(rows) == 1 and [example.where for example in too_long] == [f"{path}:2"]
    with pytest.raises(InputError, match="no example fits"):
        encode_examples(too_long, tokenizer, 64)


def test_several_files_folders_and_globs_are_read_once(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / f"{name}.jsonl", {**GOOD, "instruction": name})
    (tmp_path / "notes.txt").write_text("not data", encoding="utf-8")
    files = data_files([tmp_path / "b.jsonl", tmp_path, tmp_path / "*.jsonl"])
    assert [path.name for path in files] == ["b.jsonl", "a.jsonl"]
    said = [example.messages[0].content for example in read_instructions(*files)]
    assert said == ["b", "a"]
    with pytest.raises(InputError, match="no reader"):
        data_files([tmp_path / "notes.txt"])


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


def test_licenses_are_those_of_the_records_and_ours_of_what_ships(tmp_path: Path) -> None:
    stated = [{**GOOD, "license": license} for license in ("CC-BY-4.0", " CC-BY-4.0\n", "", 3)]
    other = write(tmp_path / "other.jsonl", GOOD, *stated, {**GOOD, "license": "a\ud800"})
    ours = bundled_instructions()[0]
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(ours.read_bytes())
    sources = {s.name: s for s in data_sources(read_instructions(other, ours, copy))}
    assert sources["other.jsonl"].by_license() == {"unknown": 3, "CC-BY-4.0": 2, "a?": 1}
    assert sources["other.jsonl"].documents == 6
    assert list(sources["instructions.jsonl"].by_license()) == ["apache-2.0"]
    assert list(sources["copy.jsonl"].by_license()) == ["unknown"]
