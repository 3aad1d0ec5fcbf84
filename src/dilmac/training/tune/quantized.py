"""QLoRA's base: matrices of 4 or 8 bits by bitsandbytes, and the same with ordinary numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F

from dilmac.core import Figures
from dilmac.models import load_model, packed_settings, require_bitsandbytes
from dilmac.tokenizer import Tokenizer
from dilmac.training.tune.merge import logits_on, probe_of
from dilmac.training.tune.parameters import count_parameters
from dilmac.training.windows import IGNORED

MAX_ROWS = 64


def load_quantized(
    folder: Path,
    kind: Literal["nf4", "int8"],
    dtype: torch.dtype,
    *,
    device: torch.device | None = None,
) -> Any:
    """The model with the matrices of its blocks in `nf4` or `int8`; tables and norms as they are.

    `dtype` is that of the arithmetic.

    Raises:
        MissingDependencyError: bitsandbytes is not installed.
        InputError: see `load_model`.
    """
    require_bitsandbytes("--method qlora")
    # int8 says at every matrix that it rounds what goes in.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    return load_model(folder, dtype, quantization=packed_settings(kind, dtype), device=device)


def dequantized(model: Any) -> Any:
    """The same model with ordinary matrices in fp32, which hold the values of the quantized ones.

    peft's `merge_and_unload` leaves bitsandbytes' layers in place, rounding what it merged: a merge
    without loss begins here.
    """
    plain = model.dequantize(torch.float32).float()
    plain.config.quantization_config = None
    del plain.config.quantization_config
    return plain


def fp32_bytes(model: Any) -> int:
    """What the model takes with ordinary numbers in fp32."""
    return 4 * count_parameters(model).total


def roomy(device: torch.device, num_bytes: int) -> torch.device:
    """`device`, or the CPU where a GPU has less than that free: an 8B in fp32 fits few."""
    if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] < num_bytes:
        return torch.device("cpu")
    return device


def quantization_cost(
    folder: Path, quantized: Any, tokenizer: Tokenizer, rows: Sequence[dict[str, Any]]
) -> Figures:
    """How far a quantized base is from the full one: in logits, and in loss of the validation.

    The losses [nats per answer token] are of the same at most `MAX_ROWS` rows for both.
    """
    full = load_model(folder).to(roomy(quantized.device, fp32_bytes(quantized))).eval()
    probe = probe_of(tokenizer, quantized.device)
    difference = float((logits_on(quantized, probe) - logits_on(full, probe)).abs().max())
    figures: Figures = {"quantized_logit_difference": float(f"{difference:.2g}")}
    if len(rows):
        some = [rows[place] for place in range(min(MAX_ROWS, len(rows)))]
        figures["base_loss_full"] = round(answer_loss(full, some), 4)
        figures["base_loss_quantized"] = round(answer_loss(quantized, some), 4)
    return figures


def answer_loss(model: Any, rows: Sequence[dict[str, Any]]) -> float:
    """Mean loss of what the rows' labels name [nats per token], row by row."""
    total, count = 0.0, 0
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"][1:])
        logits = logits_on(model, ids)[0, :-1]
        total += float(F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
        count += int((labels != IGNORED).sum())
    return total / max(1, count)
