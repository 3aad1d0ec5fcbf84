"""Conversations into rows of ids and labels: masked, never truncated."""

from __future__ import annotations

from dataclasses import dataclass

from dilmac.core import InputError
from dilmac.tokenizer import Tokenizer, encode_chat
from dilmac.training.data.examples import Conversation
from dilmac.training.windows import IGNORED


@dataclass(frozen=True)
class Row:
    """Ids `[length]` and labels `[length]` of an example; `IGNORED` where nothing is learned."""

    input_ids: list[int]
    labels: list[int]


def encode_examples(
    examples: list[Conversation], tokenizer: Tokenizer, max_length: int
) -> tuple[list[Row], list[Conversation]]:
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
    examples: list[Conversation], tokenizer: Tokenizer, max_length: int
) -> tuple[list[Row], list[Conversation]]:
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
