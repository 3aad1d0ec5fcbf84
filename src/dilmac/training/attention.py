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
# Compiled for a CPU, blocks of queries on the keys before them take half the time of its flash
# kernel (benchmarks/RESULTS.md). They keep their shares for the backward pass, which grows with the
# square of the context: up to this one.
MAX_BLOCK_CONTEXT = 1024
NUM_BLOCKS = 2
LEAST_BLOCK = 64


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
    if attention_mask is None and dropout == 0.0 and _wants_blocks(query):
        return _in_blocks(query, key, value, scaling or query.shape[-1] ** -0.5), None
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


def _wants_blocks(query: torch.Tensor) -> bool:
    on_cpu = query.device.type == "cpu" and query.shape[2] <= MAX_BLOCK_CONTEXT
    return on_cpu and bool(torch.compiler.is_compiling())


def _in_blocks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Causal attention, [rows, context, heads, head], a block of queries at a time."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    context = query.shape[2]
    size = max(LEAST_BLOCK, -(-context // NUM_BLOCKS))
    mixed = []
    for start in range(0, context, size):
        stop = min(start + size, context)
        scores = query[:, :, start:stop] @ key[:, :, :stop].transpose(-1, -2)
        places = torch.arange(stop, device=query.device)
        is_before = places[None, :] <= places[start:stop, None]
        scores = torch.where(is_before, scores.float() * scaling, -torch.inf)
        shares = torch.softmax(scores, -1).to(value.dtype)
        mixed.append(shares @ value[:, :, :stop])
    return torch.cat(mixed, dim=2).transpose(1, 2).contiguous()


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
