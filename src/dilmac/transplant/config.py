"""Settings of `dilmac transplant`, and the texts that it and `dilmac heal` measure."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from dilmac.core import StageConfig

DEFAULT_INIT = "length_weighted"
AUTO = "auto"


class MeasuredConfig(StageConfig):
    """Texts on which tokens and bits per byte are measured."""

    turkish: tuple[str, ...] = Field(
        (), description="files of Turkish text to measure tokens and bits per byte on"
    )
    english: tuple[str, ...] = Field((), description="the same of English")
    code: tuple[str, ...] = Field((), description="the same of code")
    max_text_bytes: int = Field(
        200_000, ge=1000, description="text to measure of each of them [bytes]"
    )


class TransplantConfig(MeasuredConfig):
    """Give a model another tokenizer: its embedding and head are rebuilt, the rest is copied."""

    model: str = Field(description="model folder, one that ships, or a name on the hub")
    tokenizer: str = Field(
        description="tokenizer folder or one that ships (tr32k): one that `tokenizer extend` made "
        "of the model's own extends it, any other replaces it"
    )
    init: str = Field(
        DEFAULT_INIT,
        description="how rows of new tokens are made: length_weighted, mean, first, focus, omp, "
        "random, or auto: what a short training of each likes best",
    )
    corpus: Path | None = Field(
        None, description="corpus artifact: what focus, weighted parts and auto learn from"
    )
    weighted_parts: bool = Field(
        False,
        description="take the parts of a token from how the old tokenizer cuts it in text, each "
        "by its frequency, instead of from the token alone; needs --corpus",
    )
    donor: Path | None = Field(
        None, description="model folder that already has the new vocabulary, for omp"
    )
    untie: bool = Field(False, description="give a tied model a head of its own")
    pad_to: int = Field(
        1, ge=1, le=4096, description="make the number of rows a multiple of this [rows]"
    )
    rows: int | None = Field(
        None, ge=1, description="rows of the new tables; as many as the tokenizer has by default"
    )
    link: bool = Field(
        False, description="hard-link shards without tables instead of copying them (same disk)"
    )
    probe_steps: int = Field(
        50, ge=1, description="steps that auto trains each method for before it chooses [steps]"
    )
    probe_batch_tokens: int = Field(
        8192, ge=16, description="tokens of one of these steps [tokens]"
    )

    @model_validator(mode="after")
    def _has_what_it_learns_from(self) -> TransplantConfig:
        if self.weighted_parts and not self.corpus:
            raise ValueError("--weighted-parts counts in text: give --corpus")
        if self.init == AUTO and not self.corpus:
            raise ValueError("--init auto trains on text: give --corpus")
        return self
