"""Settings of `dilmac evaluate`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from dilmac.core import Config


class EvaluateConfig(Config):
    """Bits per byte of a model on texts it has not seen, beside a compressor that knows as much."""

    model: Path = Field(description="model folder")
    text: tuple[str, ...] = Field(
        (), description="texts to measure on (.txt .md .jsonl .parquet), or else the held-out split"
    )
    corpus: Path | None = Field(
        None,
        description="corpus artifact: its train split primes PPMd, its held-out split is measured",
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    max_text_bytes: int = Field(2_000_000, ge=1, description="text to measure at most [bytes]")
    max_prime_bytes: int = Field(
        100_000_000, ge=1, description="training text that PPMd reads at most [bytes]"
    )
    context: int | None = Field(
        None, ge=8, description="window [tokens]; the model's own by default"
    )
