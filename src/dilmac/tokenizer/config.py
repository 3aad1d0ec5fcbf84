"""Settings of `dilmac tokenizer train`, and of the text that a vocabulary is learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from dilmac.core import StageConfig


class LearntTextConfig(StageConfig):
    """What text a vocabulary is learnt from, and how much each source of it counts."""

    corpus: Path = Field(description="corpus artifact; its train split is read")
    more_corpora: tuple[Path, ...] = Field(
        (), description="further corpus artifacts, mixed in (a little English and code)"
    )
    balance: float = Field(
        1.0,
        ge=0,
        le=1,
        description="weight of sources: each counts as its bytes to this power; 1 takes the text "
        "as it is",
    )
    source_weights: dict[str, float] = Field(
        default_factory=dict, description="factor of a source, by name, on top of that"
    )
    max_weight: float = Field(
        50.0,
        ge=1,
        description="how much a byte of a thin source counts at most; one of the largest counts 1",
    )
    max_text_bytes: int = Field(
        200_000_000,
        ge=1000,
        description="text that training reads at most; a larger corpus is sampled by hash [bytes]",
    )


class TokenizerConfig(LearntTextConfig):
    """Train a lossless SentencePiece tokenizer, and convert it, id for id, for Hugging Face."""

    algorithm: Literal["bpe", "unigram"] = Field("bpe", description="SentencePiece's model type")
    vocab_size: int | Literal["auto"] = Field(
        32000,
        description="number of rows, control and byte tokens included; auto fits it to the text",
    )
    superwords: int = Field(
        0,
        ge=0,
        description="rows, of the vocabulary's, that a second pass fills, in which pieces may "
        "cross a space where that saves most",
    )
    superword_words: int = Field(4, ge=2, description="words in a piece at most")
    character_coverage: float = Field(
        0.9995, ge=0.98, le=1, description="share of characters with a piece of their own [0-1]"
    )
    required_characters: str = Field(
        "", description="characters with a piece of their own, beside ASCII, Turkish and marks"
    )
    digits: Literal["single", "triples", "any"] = Field(
        "single", description="digits that a piece may hold: one, up to three, any number"
    )
    join_marks: bool = Field(
        True, description="a piece may join letters and marks: `'nin`, `etti.`, `(örneğin`"
    )
    user_tokens: tuple[str, ...] = Field(
        (), description="strings that are always one token, wherever they stand"
    )
    entities: Literal["education"] | None = Field(
        None, description="a named set of entity tokens to add: education"
    )
    max_piece_length: int = Field(24, ge=2, le=64, description="longest piece [characters]")
    max_superword_bytes: int = Field(
        60_000_000,
        ge=1000,
        description="of that, text in which pieces across words are looked for [bytes]",
    )
