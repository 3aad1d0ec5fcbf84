"""Memory of training a preset, counted before it runs.

Weights, gradients and AdamW's two moments are fp32. What a layer keeps for its backward pass was
counted on transformers' Llama with SDPA, which keeps no attention matrix (the test counts it
again); 34 bytes a token and unit of width is also the count of Korthikanti et al. 2022
(arXiv:2205.05198).
"""

from __future__ import annotations

from typing import Literal

from dilmac.models.presets import Preset, num_parameters

# Bytes kept a token: for each unit of the width and of the SwiGLU layer in every layer.
KEPT: dict[str, tuple[int, int]] = {"bf16": (34, 8), "fp32": (40, 16)}
STATE_BYTES = 16  # weight, gradient and two moments of a parameter, in fp32
COPY_BYTES = {"bf16": 2, "fp32": 0}  # the weights as autocast multiplies them


def kept_bytes(preset: Preset, vocab_size: int, precision: Literal["bf16", "fp32"] = "bf16") -> int:
    """Bytes that one token's activations hold between the forward and the backward pass."""
    per_width, per_feed_forward = KEPT[precision]
    layer = per_width * preset.hidden_size + per_feed_forward * preset.intermediate_size
    return preset.num_layers * layer + _ends(preset, vocab_size, precision)


def _ends(preset: Preset, vocab_size: int, precision: str) -> int:
    """Of the last norm, and the log-probabilities in fp32."""
    return (10 if precision == "bf16" else 12) * preset.hidden_size + 4 * vocab_size


def training_bytes(
    preset: Preset,
    vocab_size: int,
    tokens: int,
    precision: Literal["bf16", "fp32"] = "bf16",
    *,
    checkpointing: bool = False,
) -> int:
    """Bytes that training needs with AdamW and `tokens` in memory at once.

    With gradient checkpointing only the input of each layer is kept, and one layer is made again
    at a time. Not counted: what the runtime itself takes, and compiled kernels' scratch.
    """
    parameters = num_parameters(preset, vocab_size)
    state = (STATE_BYTES + COPY_BYTES[precision]) * parameters
    kept = kept_bytes(preset, vocab_size, precision)
    if checkpointing:
        layers = kept - _ends(preset, vocab_size, precision)
        kept += layers // preset.num_layers - layers + 4 * preset.num_layers * preset.hidden_size
    logits = (4 + (2 if precision == "bf16" else 4)) * vocab_size  # and their gradient
    return state + tokens * (kept + logits)
