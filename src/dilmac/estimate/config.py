"""Settings of `dilmac estimate`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from dilmac.core import Config


class EstimateConfig(Config):
    """Where the stage is to run, and how it is judged; beside the flags of the verb itself."""

    device: str | None = Field(
        None, description="a GPU that is not here: h100, a100, rtx4090, ...; else this machine"
    )
    memory: str | None = Field(
        None, description="memory of the device, where it is not the usual (80GB, 22.5GiB)"
    )
    devices: int = Field(1, ge=1, description="GPUs that work together (torchrun)")
    mfu: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the device's peak that is assumed where nothing is timed [0-1]; "
        "0.35 for pretraining, 0.25 for the rest",
    )
    price_per_hour: float | None = Field(
        None, ge=0, description="price of one device for an hour; gives the cost, in its currency"
    )
    calibrate: bool = Field(
        True, description="time a few real steps on this machine; else operations are counted"
    )
    trial_seconds: float = Field(
        20.0, gt=0, description="time of these steps at most, start-up not counted [seconds]"
    )


class RecipeEstimateConfig(EstimateConfig):
    """Every stage of a recipe before it runs."""

    recipe: Path = Field(description="recipe file (YAML)")
    out: Path | None = Field(None, description="folder of all stages; the recipe's own by default")
    set: tuple[str, ...] = Field((), description="change a setting: stage.key=value; repeatable")
