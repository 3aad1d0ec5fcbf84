"""Settings of `dilmac adapters`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from dilmac.core import Config, StageConfig
from dilmac.training.choices import Quantization

FOLDER = "folder of adapters: one in each folder below it, or in that folder's adapter/"


class ListAdaptersConfig(Config):
    """Show the adapters of a folder."""

    adapters: Path = Field(description=FOLDER)


class SwitchAdapterConfig(Config):
    """Make one adapter of a folder the active one."""

    adapters: Path = Field(description=FOLDER)
    name: str = Field(description="name of the adapter, as `dilmac adapters list` shows it")


class MergeAdapterConfig(StageConfig):
    """Merge an adapter into its base, with proof that nothing changed."""

    model: Path = Field(description="model folder that the adapter was trained on, or a name")
    adapters: Path = Field(description=f"{FOLDER}; or an adapter itself")
    name: str | None = Field(None, description="adapter to merge; the active or only one else")
    quantization: Quantization | None = Field(
        None, description="merge into the base as qlora had it: rounded to nf4 or int8"
    )
    save_precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="type of the saved weights; bf16 halves the file"
    )
