"""Where a stage is to run: this machine, or a GPU that is known by its data sheet."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dilmac.core import ConfigError, num_cpus
from dilmac.estimate.config import EstimateConfig
from dilmac.models import BYTES_PER_GIB, parse_bytes
from dilmac.training import card_named, device_bytes, peak_flops, resolve_precision, training_device

# Names as people write them, and memory by NVIDIA's data sheets [GiB]; of a card that there is in
# two sizes the smaller one: --memory says otherwise.
CARD_GIB = {
    "gb200": 186,
    "b200": 180,
    "h200 nvl": 141,
    "h200": 141,
    "h100 nvl": 94,
    "h100 pcie": 80,
    "h100": 80,
    "a100": 40,
    "a40": 48,
    "a30": 24,
    "a10g": 24,
    "a10": 24,
    "l40s": 48,
    "l40": 48,
    "l4": 24,
    "v100": 16,
    "t4": 16,
    "rtx a6000": 48,
    "rtx 6000 ada": 48,
    "rtx 5090": 32,
    "rtx 4090": 24,
    "rtx 4080": 16,
    "rtx 3090": 24,
    "rtx 3080": 10,
}
# What CUDA's context, cuBLAS's workspaces and the allocator's gaps take beside the tensors. Not
# measured here: usual figures are 0.4 to 1 GiB.
CUDA_BASE_BYTES = 800 << 20


@dataclass(frozen=True)
class Target:
    """A device of the estimate."""

    name: str
    kind: str  # cuda or cpu
    is_here: bool
    memory: int | None  # [bytes]
    count: int  # devices that work together

    def precision(self, asked: str) -> str:
        """`bf16`, `fp16` or `fp32`, as the stage will choose."""
        if self.is_here:
            return resolve_precision(asked, training_device())
        if asked != "auto":
            return asked
        card = card_named(self.name)
        return "bf16" if card and card.bf16 else "fp16"

    def peak(self, precision: str) -> tuple[float, str]:
        """The peak of one device, and where the figure comes from [FLOP/s]."""
        card = None if self.is_here else card_named(self.name)
        if card is None:
            found = peak_flops(training_device(), precision)
            return found.flops, found.source
        return card.peak(precision) or card.fp32, card.source


def target_of(config: EstimateConfig) -> Target:
    """The device that was asked for.

    Raises:
        ConfigError: no such card is known, or the memory is no size.
    """
    stated = parse_bytes(config.memory) if config.memory else None
    if config.device is None:
        device = training_device()
        name = f"this machine ({device.type}, {num_cpus()} cores)"
        memory = stated or device_bytes(None, device)
        return Target(name, device.type, True, memory, config.devices)
    wanted = _plain(config.device)
    name = next((card for card in CARD_GIB if _plain(card) == wanted), "")
    if not name:
        raise ConfigError(
            f"no card {config.device!r} is known",
            where="--device",
            mend=f"one of {', '.join(card.replace(' ', '') for card in CARD_GIB)}; or leave it out "
            "for this machine",
        )
    memory = stated or CARD_GIB[name] * BYTES_PER_GIB
    return Target(name, "cuda", False, memory, config.devices)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
