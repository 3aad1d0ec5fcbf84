"""Settings of `dilmac evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from dilmac.core import Config


class EvaluateConfig(Config):
    """Bits per byte of a model on texts it has not seen, beside a compressor that knows as much;
    with `--tasks`, how it does at tasks in Turkish."""

    model: Path = Field(
        description="model folder, a name that ships, or for --tasks a GGUF; with --server the "
        "model's name there"
    )
    tasks: tuple[str, ...] = Field(
        (),
        description="tasks to ask, several with commas: names, YAML files, or all",
    )
    task_data: Path | None = Field(
        None, description="folder with the records of the tasks (.jsonl .json .parquet)"
    )
    limit: int | None = Field(
        None, ge=1, description="items of each task at most, drawn from the seed; all by default"
    )
    num_fewshot: int = Field(
        0, ge=0, le=32, description="solved examples before each question, drawn from the seed"
    )
    seed: int = Field(42, ge=0, lt=2**31, description="seed of what is drawn, and of the intervals")
    engine: Literal["auto", "transformers", "llamacpp"] = Field(
        "auto", description="what runs the model for --tasks; auto takes llama.cpp for a GGUF"
    )
    server: str | None = Field(
        None, description="base address of an OpenAI-compatible server that runs the model"
    )
    against: Path | None = Field(
        None, description="another model, asked the same items and compared item by item"
    )
    document_start: bool = Field(
        True, description="put the token that begins a document before every prompt"
    )
    html: Path | None = Field(None, description="page to write on the tasks, with a figure")
    items: Path | None = Field(
        None, description="JSON lines file to write: every item of the tasks, as it was answered"
    )
    text: tuple[str, ...] = Field(
        (), description="texts to measure on (.txt .md .jsonl .parquet), or else the held-out split"
    )
    corpus: Path | None = Field(
        None,
        description="corpus artifact: its train split primes PPMd, its held-out split is measured",
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    group_field: str = Field(
        "domain", description="field that names a text's group; without it each file is a group"
    )
    max_text_bytes: int = Field(2_000_000, ge=1, description="text to measure at most [bytes]")
    max_prime_bytes: int = Field(
        100_000_000, ge=1, description="training text that PPMd reads at most [bytes]"
    )
    context: int | None = Field(
        None, ge=8, description="window [tokens]; the model's own by default"
    )

    @model_validator(mode="after")
    def _tasks_are_named(self) -> Self:
        only_tasks = ("task_data", "limit", "server", "against", "html", "items")
        given = next((name for name in only_tasks if getattr(self, name) is not None), None)
        if given and not self.tasks:
            raise ValueError(f"--{given.replace('_', '-')} goes with --tasks")
        return self
