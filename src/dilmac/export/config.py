"""Settings of `dilmac export gguf`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from dilmac.core import StageConfig

GgufType = Literal["f32", "f16", "bf16", "q8_0"]


class GgufConfig(StageConfig):
    """Write a model as one GGUF file for llama.cpp and everything built on it."""

    model: Path = Field(description="model folder (Llama, Mistral, Qwen2, Qwen3 or Qwen3-MoE)")
    type: GgufType = Field("f16", description="how matrices are stored")
    text: tuple[str, ...] = Field(
        (), description="real text for the parity proof; the bundled sample by default"
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    num_lines: int = Field(1000, ge=1, description="lines of real text whose ids are compared")
    num_fuzz: int = Field(2000, ge=1, description="made-up strings whose ids are compared")
    num_positions: int = Field(
        2000, ge=1, description="positions whose log-probabilities are compared, teacher-forced"
    )
