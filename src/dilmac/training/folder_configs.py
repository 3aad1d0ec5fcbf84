"""Settings of `dilmac models convert` and `dilmac models rescale`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from dilmac.core import StageConfig
from dilmac.models import RopeType

FAULTS = ("missing", "unexpected", "mis_shaped")


class ConvertConfig(StageConfig):
    """Turn a PyTorch state dict into a model folder."""

    weights: Path = Field(
        description="state dict (.pt .pth .bin .safetensors), or a folder of safetensors"
    )
    config: str | None = Field(
        None,
        description="config.json, a folder that has one, or a preset; nanoGPT's checkpoints carry "
        "their own",
    )
    tokenizer: Path = Field(description="tokenizer folder that the weights were trained with")
    allow: tuple[str, ...] = Field(
        (),
        description="faults to accept: missing (drawn at random), unexpected (left out), "
        "mis_shaped (left out and drawn at random)",
    )
    license: str = Field(
        "unknown",
        pattern=r"^[\w.+-]{1,80}$",
        description="license of the weights as the hub names it (apache-2.0, mit, ...)",
    )

    @field_validator("allow", mode="before")
    @classmethod
    def _separated(cls, value: Any) -> Any:
        """`missing,unexpected` as two."""
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            return value
        kinds = tuple(kind.strip() for part in parts for kind in str(part).split(","))
        if wrong := [kind for kind in kinds if kind not in FAULTS]:
            raise ValueError(f"no such fault as {wrong[0]!r}: one of {', '.join(FAULTS)}")
        return kinds


class RescaleConfig(StageConfig):
    """Make a model's context longer than it was trained with."""

    model: Path = Field(description="model folder with rotary positions")
    context: int = Field(ge=32, description="new context [tokens]")
    type: RopeType = Field("yarn", description="how positions are stretched")
    text: tuple[str, ...] = Field(
        (), description="long unseen texts to measure the cost on (.txt .md .jsonl .parquet)"
    )
    corpus: Path | None = Field(
        None, description="corpus artifact; the cost is measured on its held-out split"
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    max_text_bytes: int = Field(300_000, ge=1, description="text to measure at most [bytes]")
