"""Settings of `dilmac tokenizer train`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from dilmac.core import StageConfig


class TokenizerConfig(StageConfig):
    """Train a lossless SentencePiece BPE and convert it, id for id, to Hugging Face's format."""

    corpus: Path = Field(description="corpus artifact; its train split is read")
    vocab_size: int | Literal["auto"] = Field(
        32000,
        description="number of rows, control and byte tokens included; auto fits it to the text",
    )
    character_coverage: float = Field(
        0.9995, gt=0.9, le=1, description="share of characters with a piece of their own [0-1]"
    )
    split_digits: bool = Field(True, description="each digit is a piece of its own")
    max_piece_length: int = Field(24, ge=2, description="longest piece [characters]")
    max_text_bytes: int = Field(
        200_000_000,
        ge=1000,
        description="text that training reads at most; a larger corpus is sampled by hash [bytes]",
    )
