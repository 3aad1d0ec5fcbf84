"""Which arithmetic this machine should train in."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState


def training_device() -> torch.device:
    """The first GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_precision(asked: str, device: torch.device) -> str:
    """`bf16` or `fp32`; never fp16, which runs at 1-3 GFLOP/s on a CPU.

    bf16 is chosen where the hardware multiplies in it (AVX512-bf16 or AMX: 2.6 times fp32 on the
    `quick` preset here); elsewhere it is emulated and slower.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device.type == "cpu":
        has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bf16" if has_bf16 else "fp32"
    return "fp32"


def fresh_accelerator(precision: str) -> Accelerator:
    """An Accelerator of that precision, whatever an earlier stage of this process used.

    Accelerate keeps its precision in a process-wide state and refuses another one; transformers'
    own TrainingArguments reset it in the same way.
    """
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision="bf16" if precision == "bf16" else "no")
