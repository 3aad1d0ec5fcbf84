"""Rows into batches as long as their longest row; in packed rows no example sees another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dilmac.core import ConfigError
from dilmac.tokenizer import END_OF_TEXT, IM_END, IM_START, PADDING, Tokenizer
from dilmac.training.windows import IGNORED

# Tokens that other vocabularies have for padding, in the order in which they are taken; Qwen's own
# pad is its end of text, which ends an answer. The mark of a turn's beginning ends nothing.
_PADS = (*PADDING, "<|fim_pad|>", "<|vision_pad|>", IM_START)
_ENDS = (END_OF_TEXT, IM_END)


def pad_id(tokenizer: Tokenizer) -> int:
    """Id of the token that fills up rows: never one that ends an answer.

    Raises:
        InputError: the tokenizer has no ChatML markers.
    """
    known = tokenizer.control_tokens
    ends = {known.get(name) for name in _ENDS} | {tokenizer.document_start_id}
    for name in _PADS:
        if name in known and known[name] not in ends:
            return known[name]
    return tokenizer.control_id(IM_START)


def require_packable(config: Any) -> None:
    """Refuse models that carry a state from token to token: positions don't end it.

    Raises:
        ConfigError: a layer does.
    """
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
    if carrying := sorted(kinds - {"full_attention", "sliding_attention", "chunked_attention"}):
        raise ConfigError(
            f"{carrying[0]} layers would carry one example into the next",
            where="--packing",
            mend="leave it out for this model",
        )


@dataclass(frozen=True)
class Collator:
    """Makes of rows a batch `[rows, longest]`, padded at the right.

    The batch has no mask but `position_ids`: positions begin again with every example, and where
    padding begins, and transformers' attention stays within them as long as there is no cache
    (`use_cache=False`, as TRL sets it). Padding is not learned.
    """

    pad_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        shape = (len(rows), max(len(row["input_ids"]) for row in rows))
        input_ids = torch.full(shape, self.pad_id)
        labels = torch.full(shape, IGNORED)
        positions = torch.zeros(shape, dtype=torch.long)
        for place, row in enumerate(rows):
            length = len(row["input_ids"])
            input_ids[place, :length] = torch.tensor(row["input_ids"])
            labels[place, :length] = torch.tensor(row["labels"])
            positions[place, :length] = torch.tensor(row["positions"])
            positions[place, length:] = torch.arange(shape[1] - length)
        return {"input_ids": input_ids, "labels": labels, "position_ids": positions}
