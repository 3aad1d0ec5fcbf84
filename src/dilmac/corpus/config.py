"""Settings of `dilmac corpus build`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dilmac.core import StageConfig
from dilmac.corpus.rules import QualityRules

StepName = Literal[
    "repair", "boilerplate", "language", "deduplicate", "quality", "personal", "decontaminate"
]
# FineWeb-2's order: quality is measured before deduplication, so that the best member of a
# cluster is known, and applied after it.
STEPS: tuple[StepName, ...] = (
    "repair",
    "boilerplate",
    "language",
    "deduplicate",
    "quality",
    "personal",
    "decontaminate",
)
# How a run is carried out; the documents are the same.
HOW = frozenset({"workers", "engine", "executor", "partition"})


class CorpusConfig(QualityRules, StageConfig):
    """Read texts, repair them, keep good Turkish once, and write shards.

    Quality thresholds are FineWeb-2's for tur_Latn where its configuration has one.
    """

    inputs: tuple[str, ...] = Field(
        min_length=1,
        description="files, folders, globs (.txt .md .jsonl .parquet .html .warc; .gz .zst .xz) "
        "or hf://NAME?config=…&split=…",
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    source_field: str | None = Field(
        None,
        description="field that names a document's source (of a URL its host); without it the file",
    )
    id_field: str = Field("id", description="field that holds a document's id, where it has one")
    license_field: str = Field(
        "license", description="field that names a document's license, where it has one"
    )
    documents: Literal["paragraphs", "lines", "file"] = Field(
        "paragraphs", description="a document of a text file: up to an empty line, a line, the file"
    )
    steps: tuple[StepName, ...] = Field(
        STEPS, description="steps in their order; what is left out is not done"
    )
    language: str = Field("tr", description="language that is kept, as py3langid names it")
    min_language_score: float = Field(
        0.875, ge=0, le=1, description="least probability of that language [0-1]"
    )
    foreign_paragraphs: Literal["drop", "keep"] = Field(
        "drop", description="what becomes of a long paragraph in another language"
    )
    near_duplicates: bool = Field(
        True, description="of nearly equal texts, too, keep only the best (MinHash)"
    )
    bands: int = Field(
        20, ge=1, le=64, description="MinHash bands; texts that agree in one are compared"
    )
    hashes_per_band: int = Field(6, ge=1, le=16, description="MinHash values of a band")
    min_similarity: float = Field(
        0.5, ge=0, le=1, description="least share of 5-word runs in common of near duplicates [0-1]"
    )
    personal_data: Literal["mask", "drop", "keep"] = Field(
        "mask", description="personal data: mask each place, drop the document, or only count"
    )
    decontaminate: tuple[str, ...] = Field(
        (), description="evaluation files whose runs of 13 words may not stand in the corpus"
    )
    holdout_percent: float = Field(
        2.0, ge=0, lt=50, description="documents held out for evaluation, chosen by hash [percent]"
    )
    holdout_by: Literal["text", "id"] = Field(
        "text", description="what is hashed: the words, or the id (10 percent: the ids' test part)"
    )
    shard_bytes: int = Field(
        256 << 20, ge=1 << 10, description="greatest size of a shard [bytes of JSON]"
    )
    shard_format: Literal["jsonl.zst", "parquet"] = Field(
        "jsonl.zst", description="form of the shards"
    )
    txt_gz: bool = Field(
        False,
        description="write the training texts into one corpus.txt.gz, too (empty line between)",
    )
    workers: int | None = Field(
        None, ge=1, description="processes that work at once; one for each core by default"
    )
    engine: Literal["builtin", "datatrove"] = Field(
        "builtin", description="who hands out the work: this machine's processes, or datatrove"
    )
    executor: Literal["local", "ray", "slurm"] = Field("local", description="datatrove's executor")
    partition: str | None = Field(None, description="partition (queue) of the Slurm cluster")

    @field_validator("steps")
    @classmethod
    def _each_once(cls, steps: tuple[StepName, ...]) -> tuple[StepName, ...]:
        repeated = sorted({name for name in steps if steps.count(name) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} stands there more than once")
        return steps

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.executor != "local" and self.engine != "datatrove":
            raise ValueError(f"--executor {self.executor} needs --engine datatrove")
        if self.decontaminate and "decontaminate" not in self.steps:
            raise ValueError("--decontaminate names files, but the step is not in --steps")
        return self

    def record(self, inputs: set[str]) -> dict[str, Any]:
        """Settings as they stand in `artifact.json`; how the work was handed out is none."""
        return super().record(inputs | HOW | {"decontaminate"})

    def steps_before_duplicates(self) -> tuple[StepName, ...]:
        """Steps that a document goes through by itself, before it is compared with others."""
        return self._split_steps()[0]

    def steps_after_duplicates(self) -> tuple[StepName, ...]:
        """Steps that only the documents kept by deduplication go through."""
        return self._split_steps()[1]

    def _split_steps(self) -> tuple[tuple[StepName, ...], tuple[StepName, ...]]:
        place = self.steps.index("deduplicate") if "deduplicate" in self.steps else len(self.steps)
        return self.steps[:place], self.steps[place + 1 :]
