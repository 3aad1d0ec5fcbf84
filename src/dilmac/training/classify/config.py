"""Settings of `dilmac classify train` and `dilmac classify predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from dilmac.core import Config, StageConfig
from dilmac.training.config import Precision

Method = Literal["full", "lora", "qlora"]


class ClassifyConfig(StageConfig):
    """Teach a language model to label texts: in full, by LoRA, or by QLoRA."""

    model: Path = Field(description="model folder of a language model, or a name that ships")
    data: tuple[str, ...] = Field(
        min_length=1,
        description="labeled texts: files, folders or globs (.jsonl .parquet; .gz .zst .xz), or "
        "saved datasets",
    )
    validation: tuple[str, ...] = Field(
        (), description="labeled texts to measure on during training, instead of a part of --data"
    )
    test: tuple[str, ...] = Field(
        (), description="labeled texts to measure on at the end, instead of a part of --data"
    )
    text_field: str = Field("text", min_length=1, description="field that holds the text")
    label_field: str = Field(
        "label", min_length=1, description="field that holds the label: text or a whole number"
    )
    method: Method = Field(
        "lora",
        description="full trains every parameter; lora small matrices beside the model's; qlora "
        "the same beside matrices of 4 bits",
    )
    epochs: float = Field(4.0, gt=0, description="passes over the training part, at most")
    patience: int | None = Field(
        2, ge=1, description="stop after so many measurements without a better macro F1"
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, description="steps between measurements, each a checkpoint; a pass by default"
    )
    batch_size: int = Field(16, ge=1, description="texts of one optimizer step")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="highest learning rate; by default 3e-4 for full, 1e-3 for lora and qlora",
    )
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps that warm up [0-1]")
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="balanced weighs a text by how rare its label is, so that each label counts "
        "the same",
    )
    max_length: int = Field(
        512, ge=8, description="longer texts are cut here, at most the model's context [tokens]"
    )
    lora_rank: int = Field(16, ge=1, description="rank of the LoRA matrices")
    lora_alpha: int = Field(32, ge=1, description="scale of the LoRA matrices")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before them [0-1]")
    precision: Precision = Field("auto", description="bf16 where the machine has it, else fp32")
    save_precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="type of the saved weights; bf16 halves the file"
    )

    @field_validator("data", "validation", "test", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        """A single path stands for itself, in a recipe as in Python."""
        if isinstance(value, str | Path):
            return (str(value),)
        return [str(item) if isinstance(item, Path) else item for item in value]


class PredictConfig(Config):
    """Label texts with a classifier."""

    model: Path = Field(description="folder of a classifier")
    text: tuple[str, ...] = Field((), description="texts to label")
    file: Path | None = Field(
        None,
        description="texts to label: records of JSONL or parquet, or the lines of a text file; "
        "standard input's lines where neither texts nor a file are given",
    )
    text_field: str = Field(
        "text", min_length=1, description="field that holds the text in records"
    )
    batch_size: int = Field(16, ge=1, description="texts that go through the model together")
