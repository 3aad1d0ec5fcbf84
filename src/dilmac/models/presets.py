"""Shapes of models that are pretrained from scratch: plain Llama, readable by every runtime.

Hidden sizes are multiples of 256 where they can be: K-quants need rows divisible by it.
"""

from __future__ import annotations

from typing import Any

from dilmac.core import Config, ConfigError


class Preset(Config):
    """A Llama shape; the vocabulary comes from the tokenizer."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    context: int
    tied: bool
    rope_theta: float = 10000.0
    norm_epsilon: float = 1e-5
    initializer_range: float = 0.02

    def llama_config(self, vocab_size: int, **ids: Any) -> Any:
        """The `transformers.LlamaConfig` of this shape with `vocab_size` rows."""
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            num_key_value_heads=self.num_kv_heads,
            head_dim=self.hidden_size // self.num_heads,
            max_position_embeddings=self.context,
            rope_parameters={"rope_type": "default", "rope_theta": self.rope_theta},
            rms_norm_eps=self.norm_epsilon,
            initializer_range=self.initializer_range,
            tie_word_embeddings=self.tied,
            attention_bias=False,
            mlp_bias=False,
            **ids,
        )


PRESETS: dict[str, Preset] = {
    # For tests: trains in seconds and still learns.
    "tiny": Preset(
        hidden_size=64,
        intermediate_size=192,
        num_layers=2,
        num_heads=2,
        num_kv_heads=2,
        context=128,
        tied=True,
    ),
    # For quickstart: minutes on a laptop's CPU.
    "quick": Preset(
        hidden_size=256,
        intermediate_size=768,
        num_layers=4,
        num_heads=4,
        num_kv_heads=4,
        context=256,
        tied=True,
    ),
    # 134M parameters with a 32k vocabulary and an output matrix of its own, 110M when tied.
    "134m": Preset(
        hidden_size=768,
        intermediate_size=2048,
        num_layers=12,
        num_heads=12,
        num_kv_heads=12,
        context=2048,
        tied=False,
    ),
}


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"unknown preset {name!r}", where="--preset", mend=f"one of {', '.join(PRESETS)}"
        )
    return PRESETS[name]


def num_parameters(preset: Preset, vocab_size: int) -> int:
    """Parameters of a model of this shape, counted without making it."""
    width, heads = preset.hidden_size, preset.num_heads
    head_dim = width // heads
    attention = 2 * width * heads * head_dim + 2 * width * preset.num_kv_heads * head_dim
    block = attention + 3 * width * preset.intermediate_size + 2 * width
    tables = vocab_size * width * (1 if preset.tied else 2)
    return tables + preset.num_layers * block + width
