"""Thresholds of the quality rules; see `quality.py` for what they measure."""

from __future__ import annotations

from pydantic import Field

from dilmac.core import Config


class QualityRules(Config):
    """FineWeb-2's thresholds for tur_Latn where its configuration has one, else Gopher's."""

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
    max_top_trigram_share: float = Field(
        0.168, ge=0, le=1, description="the same for three words [0-1]"
    )
    max_top_fourgram_share: float = Field(
        0.147, ge=0, le=1, description="the same for four words [0-1]"
    )
    max_repeated_phrase_shares: tuple[float, float, float, float, float, float] = Field(
        (0.154, 0.144, 0.134, 0.124, 0.113, 0.103),
        description="greatest shares of the text in repeated runs of 5, 6, 7, 8, 9, 10 words [0-1]",
    )
    min_stop_words: int = Field(
        2, ge=0, description="fewest different Turkish stop words in a text of 50 words or more"
    )
    min_finished_line_share: float = Field(
        0.091, ge=0, le=1, description="least share of lines that end with a mark [0-1]"
    )
    max_lines_per_word: float = Field(
        0.222, ge=0, description="greatest number of line breaks for a word"
    )
    max_bullet_line_share: float = Field(
        0.9, ge=0, le=1, description="greatest share of lines that begin with a bullet [0-1]"
    )
    max_ellipsis_line_share: float = Field(
        0.3, ge=0, le=1, description="greatest share of lines that end with an ellipsis [0-1]"
    )
    max_symbols_per_word: float = Field(
        0.1, ge=0, description="greatest number of # and … for a word"
    )

    def repeated_phrase_limits(self) -> dict[int, float]:
        """Greatest share for each length of a repeated phrase."""
        return dict(zip(range(5, 11), self.max_repeated_phrase_shares, strict=True))
