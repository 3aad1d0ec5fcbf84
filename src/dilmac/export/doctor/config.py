"""Settings of `dilmac doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from dilmac.core import Config, StageConfig


class Proof(Config):
    """How much a mended copy is compared."""

    num_lines: int = Field(200, ge=1, description="lines of real text whose ids are compared")
    num_fuzz: int = Field(500, ge=1, description="made-up strings whose ids are compared")
    num_positions: int = Field(
        200, ge=1, description="positions whose log-probabilities are compared, teacher-forced"
    )


class DoctorConfig(Proof):
    """Find what turns a model into gibberish elsewhere, and mend a copy."""

    model: Path = Field(description="model folder, adapter, tokenizer folder, or GGUF file")
    source: Path | None = Field(
        None, description="model folder that the GGUF was made of, or the adapter's base"
    )
    fix: bool = Field(False, description="mend a copy; the original is only read")
    out: Path | None = Field(None, description="folder of the mended copy")
    prove: bool = Field(True, description="compare the mended copy with the model")
    seed: int = Field(42, ge=0, description="seed of the made-up strings")

    @model_validator(mode="after")
    def _fix_and_out(self) -> Self:
        if self.fix and self.out is None:
            raise ValueError("--fix needs --out: the copy's folder")
        if self.out is not None and not self.fix:
            raise ValueError("--out without --fix: nothing would be written")
        return self


class MendConfig(StageConfig, Proof):
    """What the record of a mended copy holds."""

    model: Path = Field(description="what was mended")
    source: Path | None = Field(None, description="model folder that the GGUF was made of")
    prove: bool = Field(True, description="compare the mended copy with the model")
