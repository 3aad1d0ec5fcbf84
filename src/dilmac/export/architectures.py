"""Architectures that can be written, and what llama.cpp's graph of each takes for granted.

Names and keys: gguf's constants. Rotary pairs and fixed choices: llama.cpp's `src/models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf

from dilmac.core import InputError
from dilmac.models import require_plain_weights, rope_parameters, trained_context

Settings = dict[str, Any]

ROPE_SCALINGS = {"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}
# What transformers reads and this writer leaves at the common defaults (Peng et al. 2023).
YARN_OF_ITS_OWN = {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"}


@dataclass(frozen=True)
class Fixed:
    """A setting that is not in the file: what llama.cpp always has, and what a config.json that
    does not name it means in transformers."""

    value: Any
    default: Any


@dataclass(frozen=True)
class Architecture:
    """How one of transformers' architectures stands in a GGUF.

    `interleaves`: llama.cpp rotates neighboring rows of q and k, transformers the two halves of a
    head. Elsewhere both rotate halves (NEOX), and the rows stay where they are.
    """

    kind: gguf.MODEL_ARCH
    interleaves: bool = False
    has_experts: bool = False
    square_heads: bool = False  # heads together are as wide as the model
    fixed: Mapping[str, Fixed] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(gguf.MODEL_ARCH_NAMES[self.kind])


_QWEN = {"use_sliding_window": Fixed(False, False)}
_QWEN3 = {**_QWEN, "attention_bias": Fixed(False, False)}
_EXPERTS = {
    "norm_topk_prob": Fixed(True, False),
    "decoder_sparse_step": Fixed(1, 1),
    "mlp_only_layers": Fixed([], []),
}
ARCHITECTURES = {
    "LlamaForCausalLM": Architecture(gguf.MODEL_ARCH.LLAMA, interleaves=True),
    "MistralForCausalLM": Architecture(
        gguf.MODEL_ARCH.LLAMA, interleaves=True, fixed={"sliding_window": Fixed(None, 4096)}
    ),
    "Qwen2ForCausalLM": Architecture(gguf.MODEL_ARCH.QWEN2, square_heads=True, fixed=_QWEN),
    "Qwen3ForCausalLM": Architecture(gguf.MODEL_ARCH.QWEN3, fixed=_QWEN3),
    "Qwen3MoeForCausalLM": Architecture(
        gguf.MODEL_ARCH.QWEN3MOE, has_experts=True, fixed=_QWEN3 | _EXPERTS
    ),
}


def architecture_of(settings: Settings, folder: Path) -> Architecture:
    """The architecture that a `config.json` names, if all of it can be written.

    Raises:
        InputError: it is another one, llama.cpp's graph would compute something else, or the
            weights are quantized already.
    """
    require_plain_weights(settings, folder)
    where = folder / "config.json"
    name = (settings.get("architectures") or ["(none)"])[0]
    if name not in ARCHITECTURES:
        raise InputError(
            f"architecture {name} cannot be written as GGUF",
            where=where,
            mend=f"known: {', '.join(ARCHITECTURES)}",
        )
    found = ARCHITECTURES[name]
    for key, fixed in {"hidden_act": Fixed("silu", "silu"), **found.fixed}.items():
        value = settings.get(key, fixed.default)
        if value != fixed.value and (value or fixed.value):  # null, false and [] say the same
            raise InputError(
                f"{key} {value!r} cannot be written as GGUF: "
                f"llama.cpp's {found.name} has {fixed.value!r}",
                where=where,
            )
    if found.square_heads and num_heads(settings) * head_dim(settings) != settings["hidden_size"]:
        raise InputError(
            f"{num_heads(settings)} heads of {head_dim(settings)} are not as wide as the model "
            f"({settings['hidden_size']}), as llama.cpp's {found.name} has them",
            where=where,
        )
    _require_known_rope(settings, where)
    return found


def _require_known_rope(settings: Settings, where: Path) -> None:
    rope = rope_parameters(settings)
    if rope["rope_type"] not in ("default", *ROPE_SCALINGS):
        raise InputError(
            f"rope type {rope['rope_type']!r} cannot be written as GGUF",
            where=where,
            mend=f"known: default, {', '.join(ROPE_SCALINGS)}",
        )
    if own := sorted(set(rope) & YARN_OF_ITS_OWN):
        raise InputError(f"rope parameter {own[0]!r} cannot be written as GGUF", where=where)


def num_heads(settings: Settings) -> int:
    return int(settings["num_attention_heads"])


def num_kv_heads(settings: Settings) -> int:
    return int(settings.get("num_key_value_heads") or num_heads(settings))


def head_dim(settings: Settings) -> int:
    return int(settings.get("head_dim") or settings["hidden_size"] // num_heads(settings))


def num_experts(settings: Settings) -> int:
    # The hub's folders say num_experts; transformers 5 writes the same as num_local_experts.
    return int(settings.get("num_experts") or settings["num_local_experts"])


def add_shape(writer: gguf.GGUFWriter, architecture: Architecture, settings: Settings) -> None:
    """Write the keys that say how large the model is and how it reads positions."""
    rope = rope_parameters(settings)
    writer.add_context_length(settings["max_position_embeddings"])
    writer.add_embedding_length(settings["hidden_size"])
    writer.add_block_count(settings["num_hidden_layers"])
    writer.add_feed_forward_length(settings["intermediate_size"])
    writer.add_head_count(num_heads(settings))
    writer.add_head_count_kv(num_kv_heads(settings))
    writer.add_key_length(head_dim(settings))
    writer.add_value_length(head_dim(settings))
    writer.add_rope_dimension_count(head_dim(settings))
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    if rope["rope_type"] != "default":
        writer.add_rope_scaling_type(ROPE_SCALINGS[rope["rope_type"]])
        writer.add_rope_scaling_factor(float(rope["factor"]))
        writer.add_rope_scaling_orig_ctx_len(trained_context(settings))
    writer.add_layer_norm_rms_eps(settings["rms_norm_eps"])
    writer.add_vocab_size(settings["vocab_size"])
    if architecture.has_experts:
        writer.add_expert_count(num_experts(settings))
        writer.add_expert_used_count(settings["num_experts_per_tok"])
        writer.add_expert_feed_forward_length(settings["moe_intermediate_size"])
