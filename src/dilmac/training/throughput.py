"""How fast a run is: tokens a second, and the share of the device's real peak that it uses (MFU).

MFU counts the floating-point operations that a step needs, `(6 N + 12 L d T) · tokens/s / peak`
(Chowdhery et al. 2022, PaLM, appendix B), whatever is computed twice for the sake of memory.
"""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from dilmac.models import BYTES_PER_GIB
from dilmac.training.precision import DTYPES

TRIAL_SECONDS = 0.3  # of the matmul that measures an unknown device; half a second with its start
SMALLEST_MATMUL, LARGEST_MATMUL = 256, 8192
QUICK_SECONDS = 0.02  # a product that takes less is too small to fill the device


@dataclass(frozen=True)
class Peak:
    """The most a device gives in one precision, dense, and where the number comes from."""

    flops: float  # [floating-point operations/s]
    source: str


@dataclass(frozen=True)
class Card:
    """Dense matmul peaks with fp32 accumulation [TFLOP/s]; None: not in hardware."""

    name: str  # regular expression on `torch.cuda.get_device_name`, small letters
    bf16: float | None
    fp16: float
    fp32: float  # TF32 where the card has it
    source: str

    def peak(self, precision: str) -> float | None:
        """[FLOP/s] in `bf16`, `fp16` or `fp32`."""
        teraflops = {"bf16": self.bf16, "fp16": self.fp16, "fp32": self.fp32}[precision]
        return teraflops * 1e12 if teraflops else None


# NVIDIA's own sheets, halved where they print the figure with 2:4 sparsity. The first that fits
# counts, so the narrower name stands before the wider one.
CARDS = (
    Card(r"\bgb[23]00\b", 2500.0, 2500.0, 1250.0, "NVIDIA GB200/GB300 NVL72 data sheet"),
    Card(r"\bb[23]00\b", 2250.0, 2250.0, 1125.0, "NVIDIA HGX B200/B300 data sheet"),
    Card(r"\bh200 nvl\b", 835.5, 835.5, 417.5, "NVIDIA H200 data sheet"),
    Card(r"\bg?h200\b", 989.4, 989.4, 494.7, "NVIDIA H200 data sheet"),
    Card(r"\bh100 nvl\b", 835.5, 835.5, 417.5, "NVIDIA H100 data sheet"),
    Card(r"\bh100 pcie\b", 756.0, 756.0, 378.0, "NVIDIA H100 data sheet"),
    Card(r"\bh100\b", 989.4, 989.4, 494.7, "NVIDIA H100 data sheet (SXM)"),
    Card(r"\ba100\b", 312.0, 312.0, 156.0, "NVIDIA A100 data sheet"),
    Card(r"\ba40\b", 149.7, 149.7, 74.8, "NVIDIA A40 data sheet"),
    Card(r"\ba30\b", 165.0, 165.0, 82.0, "NVIDIA A30 data sheet"),
    Card(r"\ba10g\b", 70.0, 70.0, 35.0, "NVIDIA A10G data sheet"),
    Card(r"\ba10\b", 125.0, 125.0, 62.5, "NVIDIA A10 data sheet"),
    Card(r"\bl40s\b", 362.05, 362.05, 183.0, "NVIDIA L40S data sheet"),
    Card(r"\bl40\b", 181.05, 181.05, 90.5, "NVIDIA L40 data sheet"),
    Card(r"\bl4\b", 121.0, 121.0, 60.0, "NVIDIA L4 data sheet"),
    Card(r"\bv100s\b", None, 130.0, 16.4, "NVIDIA V100 data sheet"),
    Card(r"\bv100-pcie\b", None, 112.0, 14.0, "NVIDIA V100 data sheet"),
    Card(r"\bv100\b", None, 125.0, 15.7, "NVIDIA V100 data sheet (SXM2)"),
    Card(r"\bt4\b", None, 65.0, 8.1, "NVIDIA T4 data sheet"),
    Card(r"\brtx a6000\b", 154.8, 154.8, 77.4, "NVIDIA RTX A6000, GA102 white paper"),
    Card(r"\brtx 6000 ada\b", 364.2, 364.2, 182.1, "NVIDIA RTX 6000 Ada data sheet"),
    # On GeForce tensor cores give half when they accumulate in fp32, which training does.
    Card(r"\brtx 5090\b", 209.5, 209.5, 104.8, "NVIDIA RTX Blackwell white paper"),
    Card(r"\brtx 4090\b", 165.2, 165.2, 82.6, "NVIDIA Ada white paper"),
    Card(r"\brtx 4080\b", 97.5, 97.5, 48.7, "NVIDIA Ada white paper"),
    Card(r"\brtx 3090 ti\b", 80.0, 80.0, 40.0, "NVIDIA GA102 white paper"),
    Card(r"\brtx 3090\b", 71.0, 71.0, 35.6, "NVIDIA GA102 white paper"),
    Card(r"\brtx 3080\b", 59.5, 59.5, 29.8, "NVIDIA GA102 white paper (10 GB)"),
)


def matmul_parameters(model_config: Any) -> int:
    """Parameters of a Llama that every token is multiplied with: the blocks and the output head.

    The lookup of the input row multiplies nothing and is left out, so the head counts once, tied
    or not; so do the published figures of tied models (GPT-2, nanoGPT, llm.c: all parameters).
    Norms (a few thousandths) are left out too.
    """
    width, heads = model_config.hidden_size, model_config.num_attention_heads
    head_dim = getattr(model_config, "head_dim", None) or width // heads
    rows = (2 * heads + 2 * model_config.num_key_value_heads) * head_dim
    block = width * rows + 3 * width * model_config.intermediate_size
    return int(model_config.num_hidden_layers * block + model_config.vocab_size * width)


def flops_per_token(model_config: Any, context: int) -> float:
    """Operations that a token of a `LlamaConfig` needs, forward and backward: `6 N + 12 L d T`.

    N is `matmul_parameters`, L the layers, d the width of all heads, T the window [tokens];
    that attention looks only backward is not deducted, as in PaLM's formula.
    """
    heads = model_config.num_attention_heads
    head_dim = getattr(model_config, "head_dim", None) or model_config.hidden_size // heads
    attention = 12 * model_config.num_hidden_layers * heads * head_dim * context
    return float(6 * matmul_parameters(model_config) + attention)


def card_named(name: str) -> Card | None:
    """The card of a device name such as `NVIDIA H100 80GB HBM3`."""
    return next((card for card in CARDS if re.search(card.name, name.lower())), None)


def peak_flops(device: torch.device, precision: str) -> Peak:
    """The dense peak of a device in `bf16`, `fp16` or `fp32` (TF32 on cards that have it).

    A CPU, and a GPU that is not in the list, are measured for less than half a second.
    """
    if device.type == "cuda":
        card = card_named(torch.cuda.get_device_name(device))
        if card and (flops := card.peak(precision)):
            return Peak(flops, card.source)
    return measured_peak(str(device), precision, torch.get_num_threads())


@lru_cache
def measured_peak(device: str, precision: str, num_threads: int) -> Peak:
    """The best rate of square products on this device, which are made larger while they are quick.

    `num_threads` is part of the answer: the rate of a CPU is that of the threads it may use.
    """
    del num_threads
    size, best = SMALLEST_MATMUL, 0.0
    ends = time.perf_counter() + TRIAL_SECONDS
    a, b = _square(size, device, precision)
    _timed_product(a, b)  # the first product also starts the library
    while True:
        seconds = _timed_product(a, b)
        best = max(best, 2 * size**3 / max(seconds, 1e-9))
        left = ends - time.perf_counter()
        if left < seconds:
            return Peak(best, "measured")
        grows = seconds < QUICK_SECONDS and size < LARGEST_MATMUL and left > 16 * seconds
        if grows:
            size *= 2
            a, b = _square(size, device, precision)


def _square(size: int, device: str, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    a = torch.ones(size, size, device=device, dtype=DTYPES[precision])
    return a, torch.ones_like(a)


def _timed_product(a: torch.Tensor, b: torch.Tensor) -> float:
    """Seconds of one product [size, size] x [size, size]."""
    _wait(a.device)
    started = time.perf_counter()
    torch.mm(a, b)
    _wait(a.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    """What was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def memory_bytes(device: torch.device) -> int:
    """On a GPU the most that tensors have held, else what the process holds of RAM [bytes]."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import psutil  # comes with accelerate

    return int(psutil.Process().memory_info().rss)


class Pace:
    """Speed over the last seconds, from what each step took.

    >>> pace = Pace(flops_per_token(model.config, 2048), peak_flops(device, "bf16"), device)
    >>> pace.add(tokens=524_288, seconds=1.3)
    >>> steps.advance(note=pace.note(loss=3.1, bits=0.98))

    With `num_devices` the tokens are those of all devices together, and so is the peak.
    """

    def __init__(
        self,
        flops_per_token: float,
        peak: Peak,
        device: torch.device,
        *,
        num_devices: int = 1,
        window_seconds: float = 30.0,
    ):
        self.flops_per_token, self.peak, self.device = flops_per_token, peak, device
        self.num_devices, self.window_seconds = num_devices, window_seconds
        self._steps: deque[tuple[int, float]] = deque()
        self._tokens, self._seconds = 0, 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """Count a step; steps that ended before the window are forgotten."""
        self._steps.append((tokens, seconds))
        self._tokens += tokens
        self._seconds += seconds
        while len(self._steps) > 1 and self._seconds - self._steps[0][1] >= self.window_seconds:
            old_tokens, old_seconds = self._steps.popleft()
            self._tokens -= old_tokens
            self._seconds -= old_seconds

    @property
    def tokens_per_second(self) -> float:
        """Over the window; 0 before the first step."""
        return self._tokens / self._seconds if self._seconds > 0 else 0.0

    @property
    def mfu(self) -> float:
        """Share of the peak of all devices that the model's operations use [0-1]."""
        return self.flops_per_token * self.tokens_per_second / (self.peak.flops * self.num_devices)

    def figures(self) -> dict[str, float | int]:
        """What a step's event records."""
        return {
            "tokens_per_second": round(self.tokens_per_second, 1),
            "mfu": round(self.mfu, 4),
            "memory_bytes": memory_bytes(self.device),
        }

    def note(self, loss: float, bits: float) -> str:
        """`loss 3.412 · 1.012 bits/byte · 384,120 tokens/s · MFU 40.1 % · 31.2 GiB`."""
        gibibytes = memory_bytes(self.device) / BYTES_PER_GIB
        return (
            f"loss {loss:.3f} · {bits:.3f} bits/byte · {self.tokens_per_second:,.0f} tokens/s · "
            f"MFU {100 * self.mfu:.1f} % · {gibibytes:.1f} GiB"
        )
