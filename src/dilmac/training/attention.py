"""Attention of whole windows: causal, and without a mask where every token sees all before it.

transformers 5 looks at the positions to find documents packed in a row; while it is compiled it
cannot look, makes a mask `[rows, 1, context, context]`, and loses the kernels (flash) that take
none. Here the caller says what there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig

NAME = "dilmac_causal"


def attend(
    _module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_others: Any,
) -> tuple[torch.Tensor, None]:
    """SDPA of queries `[rows, heads, context, head]` on keys of the same tokens."""
    mixed = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=attention_mask,
        dropout_p=dropout,
        is_causal=attention_mask is None,
        scale=scaling,
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return mixed.transpose(1, 2).contiguous(), None


def _no_mask(*_: Any, **__: Any) -> None:
    """In place of a mask that says what `is_causal` says; a given one never comes here."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _no_mask)


@contextmanager
def causal_attention(config: PretrainedConfig) -> Iterator[None]:
    """Within, a model of `config` attends so; generating with a cache needs what it had before."""
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
