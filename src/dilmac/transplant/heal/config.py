"""Settings of `dilmac heal`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from dilmac.training import Precision, PretrainConfig, ScheduleName, parse_count, parse_hours
from dilmac.transplant.config import MeasuredConfig

Loss = Literal["lm", "alm", "hidden"]
Trained = Literal["rows", "lora", "all"]


class HealConfig(MeasuredConfig):
    """Train a transplanted model until it is at home in its new vocabulary."""

    model: Path = Field(description="folder that `dilmac transplant` made")
    corpus: Path = Field(description="corpus artifact of the language that is learned")
    more_corpora: tuple[Path, ...] = Field((), description="further ones of it")
    replay: tuple[Path, ...] = Field(
        (), description="corpus artifacts of what must not be lost: English, code"
    )
    replay_share: float = Field(
        0.2, gt=0, lt=1, description="their share of the text that is read [0-1]"
    )
    loss: Loss = Field(
        "lm",
        description="lm predicts the text; alm matches the likelihoods that --teacher gives the "
        "same bytes; hidden its states at a third of the depth (new input rows only)",
    )
    teacher: Path | None = Field(
        None, description="the model before the transplant, for alm and hidden"
    )
    train: Trained = Field(
        "lora",
        description="what is trained: the new rows alone, rows and low-rank adapters of all "
        "layers, or all weights",
    )
    lora_rank: int = Field(64, ge=1, description="rank of the adapters")
    lora_alpha: int = Field(64, ge=1, description="scale of the adapters")
    context: int | None = Field(
        None, ge=16, description="window [tokens]; 2,048 by default, at most the model's own"
    )
    tokens: int | None = Field(None, description="budget: tokens to train on, 20M [tokens]")
    epochs: float | None = Field(None, gt=0, description="budget: passes over the text")
    hours: float | None = Field(None, description="budget: time, 2h30m or hours as a number")
    patience: int | None = Field(
        4, ge=1, description="stop after so many measurements without gain on held-out text"
    )
    batch_tokens: int = Field(32768, ge=16, description="tokens of one optimizer step")
    micro_batch_tokens: int = Field(8192, ge=16, description="tokens in memory at once")
    learning_rate: float = Field(2e-4, gt=0, le=10, description="highest learning rate")
    table_rate_share: float = Field(
        5.0, gt=0, description="learning rate of rows as a multiple of the others'"
    )
    schedule: ScheduleName = Field("wsd", description="cosine, wsd or constant")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps that warm up [0-1]")
    precision: Precision = Field("auto", description="bf16 where the machine has it, else fp32")
    gradient_checkpointing: bool = Field(
        False, description="calculate layers twice instead of keeping what they made"
    )
    save_precision: Literal["fp32", "bf16"] = Field("bf16", description="type of the saved weights")
    checkpoint_steps: int = Field(50, ge=1, description="steps between checkpoints [steps]")
    eval_steps: int = Field(25, ge=1, description="steps between measurements [steps]")
    eval_bytes: int = Field(
        100_000, ge=1, description="held-out text of a measurement, all sources together [bytes]"
    )

    @field_validator("tokens", "batch_tokens", "micro_batch_tokens", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return value if value is None else parse_count(value)

    @field_validator("hours", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        return value if value is None else parse_hours(value)

    @model_validator(mode="after")
    def _fits_together(self) -> HealConfig:
        if self.loss != "lm" and self.teacher is None:
            raise ValueError(f"--loss {self.loss} needs --teacher: the model before the transplant")
        if self.loss == "hidden" and self.train != "rows":
            raise ValueError("--loss hidden moves input rows alone: give --train rows")
        return self

    def as_pretraining(self, source_weights: dict[str, float]) -> PretrainConfig:
        """The same as settings of the loop that pretraining shares."""
        names = PretrainConfig.model_fields.keys() & type(self).model_fields.keys()
        shared = {name: getattr(self, name) for name in names}
        shared |= {
            "more_corpora": (*self.more_corpora, *self.replay),
            "source_weights": source_weights,
            "optimizer": "adamw",
            "final_weights": "best" if self.patience else "last",
            "compile": "off",
            "sample_prompts": (),
            "weight_decay": 0.0,
        }
        return PretrainConfig(**shared)
