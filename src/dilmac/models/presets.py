"""Shapes of models that are pretrained from scratch: plain Llama or Qwen3, as every runtime reads.

Hidden sizes are multiples of 256 where they can be: K-quants need rows divisible by it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dilmac.core import Config, ConfigError
from dilmac.models.rope import RopeScaling

Architecture = Literal["llama", "qwen3"]


class Preset(Config):
    """A shape; the vocabulary comes from the tokenizer."""

    architecture: Architecture = Field(
        "llama", description="llama, or qwen3: the same with norms of queries and keys"
    )
    hidden_size: int = Field(gt=0, description="width of a position's vector")
    intermediate_size: int = Field(gt=0, description="width of the SwiGLU layer")
    num_layers: int = Field(gt=0, description="layers")
    num_heads: int = Field(gt=0, description="attention heads")
    num_kv_heads: int = Field(gt=0, description="heads of keys and values")
    context: int = Field(gt=0, description="longest sequence [tokens]")
    tied: bool = Field(description="input and output share one table")
    head_dim: int | None = Field(
        None, gt=0, description="width of a head; hidden size / heads by default"
    )
    rope_theta: float = Field(10000.0, gt=0, description="base of the rotary angles")
    rope_scaling: RopeScaling | None = Field(
        None, description="how a context longer than the trained one is read"
    )
    norm_epsilon: float = Field(1e-5, gt=0, description="epsilon of RMSNorm")
    initializer_range: float = Field(0.02, gt=0, description="standard deviation of new weights")

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden_size // self.num_heads

    def shape_config(self, vocab_size: int, **ids: Any) -> Any:
        """The `transformers` config of this shape with `vocab_size` rows."""
        from transformers import LlamaConfig, Qwen3Config

        scaling = self.rope_scaling
        rope = scaling.parameters() if scaling else {"rope_type": "default"}
        is_llama = self.architecture == "llama"
        return (LlamaConfig if is_llama else Qwen3Config)(
            vocab_size=vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            num_key_value_heads=self.num_kv_heads,
            head_dim=self.head_size,
            max_position_embeddings=self.context,
            rope_parameters={**rope, "rope_theta": self.rope_theta},
            rms_norm_eps=self.norm_epsilon,
            initializer_range=self.initializer_range,
            tie_word_embeddings=self.tied,
            attention_bias=False,
            **({"mlp_bias": False} if is_llama else {}),
            **ids,
        )


# The shape of a published description of a small Turkish model. It calls the model 134M, which is
# its size with an output matrix of its own (134.1M with 32,000 rows), and advises to tie the two,
# which makes 109.5M: both are offered.
_134M = Preset(
    hidden_size=768,
    intermediate_size=2048,
    num_layers=12,
    num_heads=12,
    num_kv_heads=12,
    context=2048,
    tied=False,
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
    # 15M parameters with a 32k vocabulary; every row length is divisible by 256.
    "mini": Preset(
        hidden_size=256,
        intermediate_size=768,
        num_layers=8,
        num_heads=4,
        num_kv_heads=4,
        context=512,
        tied=True,
    ),
    # Qwen's kind at a size that two CPU cores train in half an hour: what transplants are tried on.
    "qwen3-lab": Preset(
        architecture="qwen3",
        hidden_size=128,
        intermediate_size=384,
        num_layers=4,
        num_heads=4,
        num_kv_heads=2,
        head_dim=32,
        context=128,
        tied=True,
    ),
    "134m": _134M,
    "134m-tied": _134M.model_copy(update={"tied": True}),
    "134m-wide": _134M.model_copy(update={"intermediate_size": 2304}),  # 141.2M
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
    tables = vocab_size * preset.hidden_size * (1 if preset.tied else 2)
    return tables + num_block_parameters(preset)


def num_block_parameters(preset: Preset) -> int:
    """Parameters without the tables of the vocabulary."""
    width = preset.hidden_size
    attention = 2 * width * preset.head_size * (preset.num_heads + preset.num_kv_heads)
    norms = 2 * width + (2 * preset.head_size if preset.architecture == "qwen3" else 0)
    block = attention + 3 * width * preset.intermediate_size + norms
    return preset.num_layers * block + width
