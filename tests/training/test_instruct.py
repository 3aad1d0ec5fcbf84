"""Instructions: validated where they stand, masked, never truncated."""

import json
from pathlib import Path

import pytest

from dilmac.core import InputError
from dilmac.tokenizer import IM_END, Tokenizer
from dilmac.training.instruct import IGNORED, encode_examples, read_instructions, split_validation

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
        ({"instruction": "a", "response": 3}, "'response' is not text"),
        ({"instruction": "  ", "response": "b"}, "'instruction' is not text"),
        ('{"instruction": "a\\ud800", "response": "b"}', "lone surrogate"),
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


def test_equal_instructions_stay_on_one_side(tmp_path: Path) -> None:
    lines = [{**GOOD, "instruction": f"Soru {n % 50}"} for n in range(200)]
    examples = read_instructions(write(tmp_path / "data.jsonl", *lines))
    train, validation = split_validation(examples, 20)
    assert len(train) + len(validation) == 200 and validation
    sides = [{example.messages[0].content for example in side} for side in (train, validation)]
    assert not sides[0] & sides[1]
