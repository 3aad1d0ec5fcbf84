"""Settings of `dilmac corpus build`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from dilmac.core import StageConfig


class CorpusConfig(StageConfig):
    """Read texts, repair them, keep good Turkish once, and write shards.

    Quality thresholds are FineWeb-2's for tur_Latn where its configuration has one.
    """

    inputs: tuple[str, ...] = Field(
        min_length=1,
        description="text files, folders or globs (.txt .md .jsonl .parquet; .gz .zst .xz)",
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    documents: Literal["paragraphs", "lines", "file"] = Field(
        "paragraphs", description="a document of a text file: up to an empty line, a line, the file"
    )
    language: str = Field("tr", description="language that is kept, as py3langid names it")
    min_language_score: float = Field(
        0.875, ge=0, le=1, description="least probability of that language [0-1]"
    )
    min_words: int = Field(20, ge=1, description="fewer words than this are rejected [words]")
    min_mean_word_length: float = Field(3.0, ge=0, description="least mean word length [letters]")
    max_mean_word_length: float = Field(
        21.0, ge=1, description="greatest mean word length [letters]"
    )
    min_letter_word_share: float = Field(
        0.773, ge=0, le=1, description="least share of words that hold a letter [0-1]"
    )
    max_repeated_line_share: float = Field(
        0.272, ge=0, le=1, description="greatest share of lines that stood before in the text [0-1]"
    )
    max_top_bigram_share: float = Field(
        0.214,
        ge=0,
        le=1,
        description="greatest share of the text in its most frequent word pair [0-1]",
    )
    min_stop_words: int = Field(
        2, ge=0, description="fewest different Turkish stop words in a text of 50 words or more"
    )
    repair: bool = Field(True, description="repair encoding, HTML leftovers and Unicode form")
    deduplicate: bool = Field(True, description="keep only the first of equal texts")
    holdout_percent: float = Field(
        2.0, ge=0, lt=50, description="documents held out for evaluation, chosen by hash [percent]"
    )
    shard_bytes: int = Field(
        256 << 20, ge=1 << 10, description="greatest size of a shard [bytes of JSON]"
    )

    def files(self) -> list[Path]:
        """The input files behind the patterns."""
        from dilmac.core import expand_inputs

        return expand_inputs(self.inputs)
