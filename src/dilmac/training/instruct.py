"""Instructions into training examples: validated before anything loads, masked, never truncated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import xxhash

from dilmac.core import InputError, read_lines
from dilmac.tokenizer import Message, Tokenizer, encode_chat

IGNORED = -100  # label of a token that is not learned


@dataclass(frozen=True)
class Example:
    """One instruction with its answer, and where it stands."""

    messages: tuple[Message, ...]
    where: str


def read_instructions(path: Path) -> list[Example]:
    """Every line of a JSONL of `{"instruction", "response"}`, optionally with `"input"`.

    Raises:
        InputError: a line is no JSON object, or a field is missing, empty, or not Unicode.
    """
    examples = []
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
        examples.append(Example(turns, where))
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
    if not rows:
        raise InputError(
            f"no example fits into {max_length} tokens",
            where=examples[0].where,
            mend="give a larger --max-length or shorter examples",
        )
    if all(label == IGNORED for row in rows for label in row.labels):
        raise AssertionError("the assistant mask is empty: nothing would be learned")
    return rows, too_long


def split_validation(
    examples: list[Example], percent: float
) -> tuple[list[Example], list[Example]]:
    """Training and validation examples, by the hash of the instruction."""
    train: list[Example] = []
    validation: list[Example] = []
    for example in examples:
        place = xxhash.xxh3_64_intdigest(example.messages[0].content) / 2**64 * 100
        (validation if place < percent else train).append(example)
    return (train, validation) if train else (validation, [])
