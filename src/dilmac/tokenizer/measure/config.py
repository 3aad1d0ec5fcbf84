"""Settings of `dilmac tokenizer compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from dilmac.core import Config

SENTENCES = (
    "Öğrencilerimizden bazıları sınava yeterince çalışamadıklarını söyledi.",
    "İstanbul'daki 1.250 öğretmenin %85'i, saat 15.30'da başlayan toplantıya katıldı.",
    "Sözleşmenin feshi hâlinde taraflar, aralarındaki uyuşmazlıkları mahkemede çözerler.",
    "Günaydın! 😊 Dün aldığım kitabı bitirdim; sen de okumalısın.",
    "The teacher said that def topla(a, b): return a + b adds two numbers.",
)


class CompareConfig(Config):
    """Count what tokenizers make of the same texts, and what that costs."""

    inputs: tuple[str, ...] = Field(
        min_length=1, description="text files (.txt .md .jsonl .parquet)"
    )
    tokenizer: tuple[str, ...] = Field(
        min_length=1,
        description="folder or hub name with a tokenizer.json, SentencePiece or tiktoken file; "
        "repeat the flag, the first is the baseline",
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    group_field: str | None = Field(
        None, description="field that names a text's group; without it each file is a group"
    )
    max_text_bytes: int = Field(
        10_000_000, ge=1, description="text to read at most of each file [bytes]"
    )
    tiktoken_split: str | None = Field(
        None,
        min_length=1,
        description="how tiktoken files split text into words: gpt2, cl100k, o200k, qwen or a "
        "regular expression; by the file's name if not given",
    )
    parallel: Path | None = Field(
        None, description="the same sentences in Turkish and English, a JSONL or parquet file"
    )
    turkish_field: str = Field("tr", description="field of the Turkish sentence in --parallel")
    english_field: str = Field("en", description="field of the English sentence in --parallel")
    requests_per_month: int | None = Field(
        None, ge=1, description="traffic whose cost is reckoned [requests]"
    )
    characters_per_request: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="length of a request; of a text on average if not given [characters]",
    )
    price_per_million_tokens: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="price of a million tokens [USD]"
    )
    context: int = Field(32_768, ge=1, description="window that the text must fit into [tokens]")
    html: Path | None = Field(None, description="page to write, with figures and colored tokens")
    sentence: tuple[str, ...] = Field(
        SENTENCES, description="sentence whose tokens the page shows; repeat the flag"
    )

    @model_validator(mode="after")
    def _cost_is_whole(self) -> Self:
        if (self.requests_per_month is None) != (self.price_per_million_tokens is None):
            raise ValueError(
                "--requests-per-month and --price-per-million-tokens make a cost only together"
            )
        if self.characters_per_request and not self.requests_per_month:
            raise ValueError("--characters-per-request goes with --requests-per-month")
        return self
