"""Ids as a model takes them: cut, padded, in tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dilmac.core import InputError
from dilmac.tokenizer.adapter.roles import PADDING, counterpart
from dilmac.tokenizer.adapter.side import Side

if TYPE_CHECKING:
    import torch


def require_texts(texts: str | Sequence[str], max_length: int) -> list[str]:
    """The texts of a batch, one text being a batch of one.

    Raises:
        InputError: there is no text, one is empty or none, or `max_length` is below 1.
    """
    if max_length < 1:
        raise InputError(
            f"{max_length} tokens hold no text", where="max_length", mend="give at least 1"
        )
    batch = [texts] if isinstance(texts, str) else list(texts)
    if not batch:
        raise InputError("no text", mend="give at least one")
    for place, text in enumerate(batch):
        if not isinstance(text, str):
            raise InputError(f"not a text but {type(text).__name__}", where=f"text {place}")
        if not text:
            raise InputError("empty: a model has nothing to read", where=f"text {place}")
    return batch


def cut(side: Side, ids: Sequence[int], max_length: int) -> list[int]:
    """The first tokens of a text, `max_length` at most, up to the end of a whole character."""
    kept = list(ids[:max_length])
    while not _is_text(b"".join(side.rows[row] or b"" for row in kept)):
        kept.pop()
    return kept


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def padded(side: Side, batch: list[list[int]], *, pad_left: bool) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, [texts, length of the longest].

    Raises:
        InputError: a text has no tokens; lengths differ and the tokenizer has nothing to pad with.
    """
    import torch

    if [] in batch:
        raise InputError(
            "nothing of it is left: no token, or its first character is longer than max_length",
            where=f"text {batch.index([])}",
        )
    length = max(map(len, batch))
    pad = counterpart(PADDING[0], side.control)
    if pad is None and min(map(len, batch)) < length:
        raise InputError("no token to pad with", where=side.where, mend="give one text at a time")
    shape = (len(batch), length)
    input_ids = torch.full(shape, pad or 0, dtype=torch.long)
    attention_mask = torch.zeros(shape, dtype=torch.long)
    for row, ids in enumerate(batch):
        start = length - len(ids) if pad_left else 0
        input_ids[row, start : start + len(ids)] = torch.tensor(ids)
        attention_mask[row, start : start + len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}
