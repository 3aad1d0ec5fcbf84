"""`dilmac compare`: trained models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dilmac.core import (
    Artifact,
    DilmacError,
    Figures,
    InputError,
    read_measured_texts,
    require_writable,
    say,
)
from dilmac.evaluate.compare.config import CompareRunsConfig
from dilmac.evaluate.compare.latency import bits_per_byte, measured_latency
from dilmac.evaluate.compare.page import write_page
from dilmac.evaluate.compare.recorded import data_of, open_run, recorded

LATENCY = ("ms_per_prompt", "ms_per_new_token")
QUALITY = ("validation_loss", "f1_macro", "bits_per_byte")


def compare_runs(config: CompareRunsConfig) -> Figures:
    """Rows of runs, their differences from the first, and what keeps them from being compared.

    Raises:
        InputError: a folder is no artifact of a trained model; a text cannot be read, or the first
            is longer than `max_text_bytes`.
        ConfigError: the page cannot be written.
    """
    if config.html:
        require_writable(config.html)
    texts = _texts(config)
    artifacts = [open_run(folder) for folder in config.runs]
    names = _names(config.runs)
    rows = [recorded(run, name) for run, name in zip(artifacts, names, strict=True)]
    if texts:  # all are measured on these now: what was recorded stands on others
        for row in rows:
            row["bits_per_byte"] = None
    notes = _incomparable(rows, artifacts)
    measured: dict[str, Figures] = {}  # by content: the same model is measured once
    for row, run in zip(rows, artifacts, strict=True):
        row.update(dict.fromkeys(LATENCY))
        digest = run.manifest.digest
        if digest not in measured:
            measured[digest] = _measured(run, config, texts, notes)
        row.update(measured[digest])
    for row in rows[1:]:
        row["difference"] = _difference(row, rows[0])
    figures: Figures = {"runs": rows, "notes": notes}
    if config.html:
        write_page(config.html, figures)
    return figures


def _texts(config: CompareRunsConfig) -> list[str]:
    """The texts to measure on; none where none are given."""
    texts = list(filter(None, read_measured_texts(config.text, max_bytes=config.max_text_bytes)))
    if config.text and not texts:
        raise InputError(
            "no text, or none within --max-text-bytes", where=config.text[0], mend="raise it"
        )
    return texts


def _measured(
    run: Artifact, config: CompareRunsConfig, texts: Sequence[str], notes: list[str]
) -> Figures:
    """What is measured now: latency, and bits per byte where there are texts for it."""
    found: Figures = {}
    try:
        if config.latency:
            say(f"compare: latency of {run.path}")
            found |= measured_latency(
                run.path, config.prompt, repeats=config.repeats, new_tokens=config.new_tokens
            )
        if texts:
            found["bits_per_byte"] = bits_per_byte(run.path, texts)
    except DilmacError as error:
        notes.append(f"{run.path.name} was not measured: {error.found}")
    return found


def _difference(row: Figures, first: Figures) -> Figures:
    """What a run has more than the first, of every number that both have."""
    numbers = {
        name: (value, first[name])
        for name, value in row.items()
        if _is_number(value) and _is_number(first.get(name))
    }
    return {name: round(ours - theirs, 6) for name, (ours, theirs) in numbers.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _incomparable(rows: Sequence[Figures], artifacts: Sequence[Artifact]) -> list[str]:
    """Quality figures that stand on other texts, or on another part, than the first run's."""
    notes = []
    for name in QUALITY:
        having = [place for place, row in enumerate(rows) if row[name] is not None]
        if len({data_of(artifacts[place]) for place in having}) > 1:
            notes.append(f"{name}: the runs were measured on different data")
    if len({row["f1_part"] for row in rows if row["f1_part"]}) > 1:
        notes.append("f1_macro: of the test part in some runs, of validation in others")
    losses = [place for place, row in enumerate(rows) if row["validation_loss"] is not None]
    if len({_tokenizer_of(artifacts[place]) for place in losses}) > 1:
        notes.append("validation_loss: per token, and the runs have different tokenizers")
    return notes


def _tokenizer_of(artifact: Artifact) -> str | None:
    record = artifact.manifest.files.get("tokenizer.json")
    return record.sha256 if record else None


def _names(folders: Sequence[Path]) -> list[str]:
    """The end of each path, if that tells them apart."""
    ends = [folder.resolve().name for folder in folders]
    return [
        end if ends.count(end) == 1 else str(folder)
        for end, folder in zip(ends, folders, strict=True)
    ]
