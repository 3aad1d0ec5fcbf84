"""Preference pairs: two answers to a prompt, one of them better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilmac.core import InputError, read_lines
from dilmac.tokenizer import Message, Tokenizer, encode_chat
from dilmac.training.instruct import Example, _field, _key, _license, _object


@dataclass(frozen=True)
class Pair(Example):
    """A prompt with the better answer as its messages, and the worse one beside them."""

    rejected: str = ""


def read_pairs(*paths: Path) -> list[Pair]:
    """Every line of JSONL files of `{"prompt", "chosen", "rejected"}`, optionally `"id"`.

    Raises:
        InputError: a line is no JSON object, a field is missing, empty or not text, or both answers
            are the same.
    """
    pairs = [pair for path in paths for pair in _pairs_of(path)]
    if not pairs:
        raise InputError("holds no pair", where=paths[0])
    return pairs


def _pairs_of(path: Path) -> list[Pair]:
    pairs = []
    for line in read_lines(path):
        if line.data is not None and not line.data.strip():
            continue
        where = f"{path}:{line.number}"
        values = _object(line.data, where)
        prompt, chosen, rejected = (
            _field(values, name, where) for name in ("prompt", "chosen", "rejected")
        )
        if chosen == rejected:
            raise InputError("'chosen' and 'rejected' are the same", where=where)
        turns = (Message("user", prompt), Message("assistant", chosen))
        key = _key(values, where) or prompt
        license = _license(values)
        pairs.append(Pair(turns, where, key, license, rejected))
    return pairs


@dataclass(frozen=True)
class PairRow:
    """Ids of a prompt and of both answers; an answer ends with its `<|im_end|>`."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


def encode_pairs(
    pairs: list[Any], tokenizer: Tokenizer, max_length: int
) -> tuple[list[PairRow], list[Any]]:
    """Rows of the pairs whose prompt fits into `max_length` tokens with either answer, and the
    others."""
    rows, too_long = [], []
    for pair in pairs:
        prompt, chosen = _parts(tokenizer, pair.messages)
        _, rejected = _parts(tokenizer, (*pair.messages[:-1], Message("assistant", pair.rejected)))
        if len(prompt) + max(len(chosen), len(rejected)) > max_length:
            too_long.append(pair)
        else:
            rows.append(PairRow(prompt, chosen, rejected))
    return rows, too_long


def _parts(tokenizer: Tokenizer, messages: tuple[Message, ...]) -> tuple[list[int], list[int]]:
    """What comes before the answer, and the answer with its end."""
    chat = encode_chat(tokenizer, messages)
    written = [place for place, by_assistant in enumerate(chat.assistant_mask) if by_assistant]
    return chat.ids[: written[0]], chat.ids[written[0] : written[-1] + 1]
