"""Settings of `dilmac compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from dilmac.core import Config

PROMPTS = (
    "Merhaba, bugün hava nasıl?",
    "Sipariş ettiğim ürün üç gün geç geldi ama satıcının ilgisinden memnun kaldım.",
    "Türkiye Büyük Millet Meclisi, 23 Nisan 1920'de Ankara'da açıldı. Açılış gününün çocuk bayramı "
    "olarak kutlanması, Cumhuriyet'in ilk yıllarına uzanan bir gelenektir.",
)


class CompareRunsConfig(Config):
    """Put trained models side by side; the first is the one that the others are compared with."""

    runs: tuple[Path, ...] = Field(
        min_length=1, description="folders of fine-tuned models, classifiers, or other models"
    )
    latency: bool = Field(True, description="load each model and measure its latency")
    prompt: tuple[str, ...] = Field(
        PROMPTS, min_length=1, description="texts that latency is measured on; repeat the flag"
    )
    repeats: int = Field(5, ge=1, description="rounds over the prompts; the median counts")
    new_tokens: int = Field(16, ge=1, description="tokens that a language model writes to a prompt")
    text: tuple[str, ...] = Field(
        (),
        description="texts on which bits per byte are measured now, instead of what was recorded",
    )
    max_text_bytes: int = Field(200_000, ge=1, description="text to measure at most [bytes]")
    html: Path | None = Field(None, description="page to write")

    @field_validator("prompt", mode="after")
    @classmethod
    def _says_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not prompt.strip() for prompt in value):
            raise ValueError("a prompt is empty")
        return value

    @field_validator("runs", "text", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        """A single path stands for itself, in a recipe as in Python."""
        return (value,) if isinstance(value, str | Path) else value
