"""Instructions into training examples: validated before anything loads, masked, never truncated."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dilmac.core import (
    FORMATS,
    InputError,
    bundled_instructions,
    expand_inputs,
    place_of,
    read_lines,
)
from dilmac.models import UNKNOWN, DataSource
from dilmac.tokenizer import Message, Tokenizer, encode_chat
from dilmac.training.windows import IGNORED

BUNDLED_LICENSE = "apache-2.0"  # of the instructions that ship, as of all of dilmac

_JSONL = {"jsonl": FORMATS["jsonl"]}


@dataclass(frozen=True)
class Example:
    """One instruction with its answer, where it stands, and what decides its side of a split."""

    messages: tuple[Message, ...]
    where: str
    key: str  # its id, or the instruction where it has none
    license: str = UNKNOWN  # as its record states it


def instruction_files(patterns: Iterable[str | Path]) -> list[Path]:
    """The JSONL files behind files, folders and globs, each once.

    Raises:
        InputError: a pattern matches nothing, or no JSONL.
    """
    return expand_inputs(patterns, _JSONL)


def read_instructions(*paths: Path) -> list[Example]:
    """Every line of JSONL files of `{"instruction", "response"}`, optionally `"input"` and `"id"`.

    A `"license"` is kept; instructions that ship with dilmac have its own.

    Raises:
        InputError: a line is no JSON object, or a field is missing, empty, or not Unicode.
    """
    return [example for path in paths for example in _examples_of(path)]


def _examples_of(path: Path) -> list[Example]:
    examples = []
    is_bundled = any(path.resolve() == ours.resolve() for ours in bundled_instructions())
    for line in read_lines(path):
        if line.data is not None and not line.data.strip():
            continue
        where = f"{path}:{line.number}"
        values = _object(line.data, where)
        instruction = _field(values, "instruction", where)
        response = _field(values, "response", where)
        if values.get("input"):
            instruction += "\n\n" + _field(values, "input", where)
        turns = (Message("user", instruction), Message("assistant", response))
        license = BUNDLED_LICENSE if is_bundled else _license(values)
        examples.append(Example(turns, where, _key(values, where) or instruction, license))
    if not examples:
        raise InputError("holds no example", where=path)
    return examples


def _object(data: bytes | None, where: str) -> dict[str, object]:
    try:
        values = json.loads(data or b"")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"no JSON ({error})", where=where, mend="mend or remove the line"
        ) from error
    if not isinstance(values, dict):
        raise InputError("no JSON object", where=where, mend="mend or remove the line")
    return values


def _field(values: dict[str, object], name: str, where: str) -> str:
    text = values.get(name)
    if not isinstance(text, str) or not text.strip():
        found = "is missing" if name not in values else "is not text" if text else "is empty"
        raise InputError(
            f"field {name!r} {found}", where=where, mend=f"fields there: {', '.join(values)}"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"field {name!r} holds a lone surrogate", where=where) from error
    return text


def _key(values: dict[str, object], where: str) -> str:
    """The record's id as text; empty where it has none."""
    key = values.get("id")
    if key is None:
        return ""
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise InputError("field 'id' is neither text nor a whole number", where=where)
    return str(key)


def _license(values: dict[str, object]) -> str:
    """What the record states, in one line, as a corpus takes it."""
    stated = values.get("license")
    if not isinstance(stated, str):
        return UNKNOWN
    return " ".join(stated.encode(errors="replace").decode().split()) or UNKNOWN


def data_sources(examples: Iterable[Example]) -> list[DataSource]:
    """The files of examples, by name, with the examples under each license."""
    by_file: dict[str, Counter[str]] = {}
    for example in examples:
        file = example.where.rpartition(":")[0]
        by_file.setdefault(file, Counter())[example.license] += 1
    return [
        DataSource(Path(file).name, counts.total(), licenses=counts)
        for file, counts in by_file.items()
    ]


@dataclass(frozen=True)
class Row:
    """Ids `[length]` and labels `[length]` of an example; `IGNORED` where nothing is learned."""

    input_ids: list[int]
    labels: list[int]


def encode_examples(
    examples: list[Example], tokenizer: Tokenizer, max_length: int
) -> tuple[list[Row], list[Example]]:
    """Rows of the examples that fit into `max_length` tokens, and those that do not.

    Raises:
        InputError: no example fits, or no answer has a token to learn.
    """
    rows, too_long = encode_fitting(examples, tokenizer, max_length)
    if not rows:
        raise InputError(
            f"no example fits into {max_length} tokens",
            where=examples[0].where,
            mend="give a larger --max-length or shorter examples",
        )
    if all(label == IGNORED for row in rows for label in row.labels):
        raise AssertionError("the assistant mask is empty: nothing would be learned")
    return rows, too_long


def encode_fitting(
    examples: list[Example], tokenizer: Tokenizer, max_length: int
) -> tuple[list[Row], list[Example]]:
    """As `encode_examples`, but it may well be that none fits."""
    rows, too_long = [], []
    for example in examples:
        chat = encode_chat(tokenizer, example.messages)
        if len(chat.ids) > max_length:
            too_long.append(example)
            continue
        labels = [
            token if is_answer else IGNORED
            for token, is_answer in zip(chat.ids, chat.assistant_mask, strict=True)
        ]
        rows.append(Row(chat.ids, labels))
    return rows, too_long


@dataclass
class Split:
    """Examples to train on, to measure on, and those that no one here may see."""

    train: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)


def split_examples(
    examples: list[Example], *, validation_percent: float, test_percent: float
) -> Split:
    """Examples by the hash of their id, or of the instruction where they have none.

    With 10 and 10 percent the parts are those of `part_of`.

    Raises:
        InputError: nothing is left to train on.
    """
    split = Split()
    for example in examples:
        place = place_of(example.key)
        if place >= 100 - test_percent:
            split.test.append(example)
        elif place >= 100 - test_percent - validation_percent:
            split.validation.append(example)
        else:
            split.train.append(example)
    if not split.train:  # a handful of examples, all on one side
        split.train, split.validation = split.validation, []
    if not split.train:
        raise InputError(
            f"all {len(examples)} examples fall into the test part",
            where=examples[0].where,
            mend="give more examples or a smaller --test-percent",
        )
    return split
