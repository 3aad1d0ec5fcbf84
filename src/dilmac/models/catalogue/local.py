"""A model folder on this machine as an entry: its real shape and its real weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dilmac.models.catalogue.entries import Entry
from dilmac.models.checkpoint import read_config
from dilmac.models.stored import read_stored


def entry_of_folder(folder: Path) -> tuple[Entry, int]:
    """The model in a folder, and the bytes of its tensors as they are stored.

    Raises:
        InputError: no model folder, or one that transformers cannot read.
    """
    whole = read_config(folder)
    text = whole.get_text_config()

    def number(*names: str) -> int | None:
        """The first that is one number; what is given layer by layer is unknown here."""
        values = (getattr(text, name, None) for name in names)
        return next((value for value in values if isinstance(value, int) and value), None)

    params, stored = _count(folder)
    heads, hidden = number("num_attention_heads"), number("hidden_size")
    entry = Entry(
        name=str(folder),
        family="local",
        generation=0,
        tasks=("text",),
        architecture=whole.model_type,
        params=params,
        context=number("max_position_embeddings"),
        license="unknown",
        sources=("config.json",),
        layers=number("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(text, heads),
        head_dim=number("head_dim") or (hidden // heads if hidden and heads else None),
        intermediate=number("intermediate_size"),
        experts=number("num_experts", "num_local_experts"),
        experts_per_token=number("num_experts_per_tok"),
        moe_intermediate=number("moe_intermediate_size"),
        shared_intermediate=number("shared_expert_intermediate_size"),
        vocab=number("vocab_size"),
        tied=bool(getattr(whole, "tie_word_embeddings", False)),
        **_without_cache(text),
    )
    return entry, stored


def _kv_heads(text: Any, heads: int | None) -> int | None:
    """Heads of keys and values; unknown where they differ by layer or are compressed (MLA)."""
    stated = getattr(text, "num_key_value_heads", None)
    if getattr(text, "kv_lora_rank", None) or not isinstance(stated, int | None):
        return None
    return stated or heads


def _without_cache(text: Any) -> dict[str, int]:
    """Layers that keep keys and values where not all do, and the state of the others [bytes].

    A layer with a sliding window counts as one that keeps all: never less than what it takes.
    The state is fp32, heads × width of a key × width of a value (transformers' Qwen3-Next).
    """
    kinds = getattr(text, "layer_types", None) or []
    linear = sum(kind == "linear_attention" for kind in kinds)
    if not linear:
        return {}
    heads = int(text.linear_num_value_heads)
    state = heads * text.linear_key_head_dim * text.linear_value_head_dim
    return {"full_attention_layers": len(kinds) - linear, "state_bytes": 4 * state * linear}


def _count(folder: Path) -> tuple[int, int]:
    """Parameters and bytes of all safetensors, from their headers."""
    tensors = [
        stored
        for file in sorted(folder.glob("*.safetensors"))
        for stored in read_stored(file)[0].values()
    ]
    numbers = sum(math.prod(stored.shape) for stored in tensors)
    return numbers, sum(stored.end - stored.start for stored in tensors)
