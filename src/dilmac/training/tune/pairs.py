"""Preference pairs in ids: two answers to a prompt, one of them better."""

from __future__ import annotations

from collections.abc import Iterable

from datasets import Dataset

from dilmac.tokenizer import Message, Tokenizer, encode_chat
from dilmac.training.data.examples import Preference, Reject
from dilmac.training.data.split import Split
from dilmac.training.instruct import EncodedData, require_fitting


def encode_pairs(
    split: Split[Preference], tokenizer: Tokenizer, max_length: int
) -> tuple[EncodedData, EncodedData]:
    """Rows to train on and to measure, those whose prompt fits with either answer.

    A row has `prompt_ids`, `chosen_ids` and `rejected_ids`; an answer ends with its `<|im_end|>`.

    Raises:
        InputError: no pair to train on fits.
    """
    train, validation = (
        _encoded(pairs, tokenizer, max_length) for pairs in (split.train, split.validation)
    )
    require_fitting(train, validation, max_length)
    return train, validation


def _encoded(pairs: Iterable[Preference], tokenizer: Tokenizer, max_length: int) -> EncodedData:
    rows, too_long = [], []
    for pair in pairs:
        prompt, chosen = _parts(tokenizer, (*pair.prompt, pair.chosen))
        _, rejected = _parts(tokenizer, (*pair.prompt, pair.rejected))
        length = len(prompt) + max(len(chosen), len(rejected))
        if length > max_length:
            found = f"{length} tokens, more than {max_length}"
            too_long.append(Reject(pair.where, "too_long", found))
        else:
            rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    return EncodedData(Dataset.from_list(rows), len(rows), too_long)


def _parts(tokenizer: Tokenizer, messages: tuple[Message, ...]) -> tuple[list[int], list[int]]:
    """What comes before the last answer, and that answer with its end."""
    chat = encode_chat(tokenizer, messages)
    end = len(chat.ids) - chat.assistant_mask[::-1].index(True)
    start = end
    while chat.assistant_mask[start - 1]:  # what opens a turn is never the assistant's
        start -= 1
    return chat.ids[:start], chat.ids[start:end]
