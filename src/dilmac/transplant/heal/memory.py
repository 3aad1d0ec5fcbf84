"""Memory of healing, counted beforehand: what is frozen is there once, what is trained four times.

A trained number is a weight, a gradient and AdamW's two moments, all in fp32: 16 bytes. A frozen
one is 2 bytes where products are in bf16, else 4. Activations as in `models/memory.py`.
"""

from __future__ import annotations

from dilmac.models import Estimate, Preset, num_parameters, training_bytes
from dilmac.training import num_adapter_parameters
from dilmac.transplant.heal.config import Trained

FP32 = 4
PIECE_BYTES = {"cuda": 64 << 20, "cpu": 4 << 20}  # of logits that are also in fp32 for a moment


def healing_bytes(
    shape: Preset,
    num_rows: int,
    new_rows: int | None,
    *,
    train: Trained,
    lora_rank: int,
    micro_tokens: int,
    context: int,
    precision: str = "bf16",
    checkpointing: bool = False,
    device: str = "cuda",
) -> Estimate:
    """Bytes at the peak of a step of `dilmac heal`.

    `num_rows` are those of a table, `new_rows` those of them that are trained (None: all).
    """
    whole = training_bytes(
        shape,
        num_rows,
        micro_tokens,
        context=context,
        precision=precision,
        checkpointing=checkpointing,
        device=device,
    )
    if train == "all":
        return whole
    wide = 2 if precision == "bf16" else FP32
    rows = new_rows or num_rows
    trained = rows * shape.hidden_size * (1 if shape.tied else 2)
    if train == "lora":
        trained += num_adapter_parameters(shape, lora_rank)
    logits = micro_tokens * num_rows * wide
    chunk = min(logits, 256 << 20 if device == "cuda" else 64 << 20)
    piece = min(logits, PIECE_BYTES.get(device, PIECE_BYTES["cpu"])) // wide
    return Estimate(
        weights=num_parameters(shape, num_rows) * wide + trained * FP32,
        gradients=trained * FP32,
        optimizer=trained * 2 * FP32,
        copies=rows * shape.hidden_size * wide if wide == 2 else 0,  # trained rows as multiplied
        activations=whole.activations,
        logits=chunk + piece * 2 * FP32 + rows * shape.hidden_size * FP32,  # and the rows' gradient
    )
