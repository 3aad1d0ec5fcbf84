"""Memory of training a shape, counted before it runs.

Weights, gradients and AdamW's two moments are fp32. What a layer keeps for its backward pass was
counted on transformers' Llama with SDPA, which keeps no attention matrix (the test counts it
again); 34 bytes a token and unit of width is also the count of Korthikanti et al. 2022
(arXiv:2205.05198).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from dilmac.models.presets import Preset, num_block_parameters, num_parameters

BYTES_PER_GIB = 1 << 30
# Bytes kept a token: for each unit of the width and of the SwiGLU layer in every layer.
KEPT: dict[str, tuple[int, int]] = {"bf16": (34, 8), "fp32": (40, 16)}
# Bytes of logits that pretraining holds at once: a part of a GPU's memory; on a CPU, what is
# multiplied well.
CHUNK_BYTES = {"cuda": 256 << 20, "cpu": 64 << 20}
# Gradients inside the layer that runs backward [bytes a token and unit of width]: 17 to 32 were
# found on transformers' Llama, bf16 and fp32.
SCRATCH = 24


@dataclass(frozen=True)
class Estimate:
    """Bytes of a run at its peak, which is in the backward pass of the last micro-batch."""

    weights: int  # fp32
    gradients: int  # fp32
    optimizer: int  # its moments, fp32
    copies: int  # the weights as autocast multiplies them
    activations: int  # what the layers keep for the backward pass
    logits: int  # logits, log-probabilities and their gradients

    @property
    def total(self) -> int:
        """[bytes]"""
        return self.fixed + self.activations + self.logits

    @property
    def fixed(self) -> int:
        """What does not depend on the tokens in memory at once [bytes]."""
        return self.weights + self.gradients + self.optimizer + self.copies

    def parts(self) -> dict[str, int]:
        """Every part by its name [bytes]."""
        return asdict(self)


def kept_bytes(preset: Preset, precision: Literal["bf16", "fp32"] = "bf16") -> int:
    """Bytes that one token's activations hold until the backward pass, but for the loss's."""
    per_width, per_feed_forward = KEPT[precision]
    layer = per_width * preset.hidden_size + per_feed_forward * preset.intermediate_size
    last_norm = (10 if precision == "bf16" else 12) * preset.hidden_size
    return preset.num_layers * layer + last_norm


def training_bytes(
    preset: Preset,
    vocab_size: int,
    micro_tokens: int,
    *,
    context: int,
    optimizer: str = "adamw",
    precision: str = "bf16",
    checkpointing: bool = False,
    compiled: bool = False,
    device: str = "cuda",
    num_shards: int = 1,
) -> Estimate:
    """What training a preset needs with `micro_tokens` in memory at once.

    Counted for layers that are run one operation after the other (attention by SDPA, which keeps
    no matrix); of what `compiled` saves only the loss's part is deducted. `optimizer` is `adamw`
    (two moments of every parameter) or `muon` (one of the blocks' matrices, two of the rest);
    of the logits no more than `CHUNK_BYTES` for this kind of device exist at once; with FSDP
    weights, gradients and moments are divided among `num_shards` processes. Not counted: what the
    runtime itself takes, some hundred MiB on a GPU.

    On small models it was within 15 % of the tensors that exist at the peak of real steps.
    """
    layers, width = preset.num_layers, preset.hidden_size
    parameters, table = num_parameters(preset, vocab_size), vocab_size * width
    matrices = num_block_parameters(preset) - (2 * layers + 1) * width  # without the norms
    moments = 2 * parameters - (matrices if optimizer == "muon" else 0)
    wide = 2 if precision in ("bf16", "fp16") else 4  # bytes of a number that is multiplied
    numbers = max(CHUNK_BYTES.get(device, CHUNK_BYTES["cpu"]) // wide, 64 * vocab_size)
    # A chunk's logits and their gradient, and what is between them in fp32 unless it is fused; the
    # gradient of the table, and that gradient scaled.
    each = 2 * wide + (0 if compiled else 16)
    logits = min(numbers, micro_tokens * vocab_size) * each + 8 * table
    kept, again = kept_bytes(preset, "bf16" if wide == 2 else "fp32"), 0
    if checkpointing:  # a layer keeps its input, and is made again when its turn comes
        kept, again = wide * width * layers, kept // layers
    # The logits are gone when the layers run backward; their room serves again.
    scratch = max(0, micro_tokens * (again + SCRATCH * width) - logits)
    copied = (matrices // layers if checkpointing else matrices) + table
    rotary = 2 * 4 * context * preset.head_size
    return Estimate(
        weights=4 * parameters // num_shards,
        gradients=4 * parameters // num_shards,
        optimizer=4 * moments // num_shards,
        copies=2 * copied if wide == 2 else 0,
        activations=micro_tokens * kept + scratch + rotary,
        logits=logits,
    )
