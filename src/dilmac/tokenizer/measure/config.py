"""Settings of `dilmac tokenizer compare`."""

from __future__ import annotations

from pydantic import Field

from dilmac.core import Config


class CompareConfig(Config):
    """Count what tokenizers make of the same texts."""

    inputs: tuple[str, ...] = Field(
        min_length=1, description="text files (.txt .md .jsonl .parquet)"
    )
    tokenizer: tuple[str, ...] = Field(
        min_length=1, description="tokenizer folder; repeat the flag, the first is the baseline"
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    max_text_bytes: int = Field(10_000_000, ge=1, description="text to read at most [bytes]")
