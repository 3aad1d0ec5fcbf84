"""What is trained of a model, counted before the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft import PeftModel, get_peft_model_state_dict

from dilmac.core import Figures

BYTES = 4  # adapters are trained and saved in fp32


@dataclass(frozen=True)
class ParameterCount:
    """Parameters that are trained, and all of them, those of the adapter included.

    `saved` are the numbers in the adapter's file, where tied tables stand twice; 0 without one.
    """

    trainable: int
    total: int
    saved: int

    @property
    def percent(self) -> float:
        return 100 * self.trainable / self.total if self.total else 0.0

    @property
    def adapter_megabytes(self) -> float:
        """Size of the adapter on the disk [10⁶ bytes]."""
        return self.saved * BYTES / 1e6

    def figures(self) -> Figures:
        return {
            "trainable_parameters": self.trainable,
            "total_parameters": self.total,
            "trainable_percent": float(f"{self.percent:.4g}"),
            "adapter_megabytes": float(f"{self.adapter_megabytes:.4g}"),
        }

    def __str__(self) -> str:
        size = f", {self.adapter_megabytes:,.1f} MB" if self.saved else ""
        return (
            f"{self.trainable:,} of {self.total:,} parameters are trained "
            f"({self.percent:.2f} %{size})"
        )


def count_parameters(model: Any) -> ParameterCount:
    """Parameters of a model, with an adapter or without, on any device, "meta" too.

    Tied tables count once, and two 4-bit numbers in a byte count as two.
    """
    trainable = total = 0
    for parameter in model.parameters():
        packed = getattr(parameter, "quant_state", None)  # bitsandbytes' Params4bit
        size = packed.shape.numel() if packed is not None else parameter.numel()
        total += size
        trainable += size if parameter.requires_grad else 0
    saved = 0
    if isinstance(model, PeftModel):
        kept = get_peft_model_state_dict(model, save_embedding_layers=False)
        saved = sum(tensor.numel() for tensor in kept.values())
    return ParameterCount(trainable, total, saved)
