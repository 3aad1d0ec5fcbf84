"""A comparison as rows of text, a column for each run: for the terminal and for the page."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from dilmac.core import Figures

UNKNOWN = "unknown"
NONE = "–"  # there is none to be known
MB = 1_000_000


def _count(value: int) -> str:
    return f"{value:,}"


def _megabytes(value: int) -> str:
    return f"{value / MB:,.1f} MB"


def _seconds(value: float) -> str:
    return f"{value:,.1f} s"


def _milliseconds(value: float) -> str:
    return f"{value:,.2f} ms"


LINES: tuple[tuple[str, str, Any], ...] = (
    ("base", "base", str),
    ("method", "method", str),
    ("trained parameters", "trainable_parameters", _count),
    ("all parameters", "total_parameters", _count),
    ("training", "train_seconds", _seconds),
    ("peak memory of training", "peak_memory_bytes", _megabytes),
    ("weights on disk", "weights_bytes", _megabytes),
    ("adapter on disk", "adapter_bytes", _megabytes),
    ("validation loss", "validation_loss", str),
    ("macro F1", "f1_macro", str),
    ("bits per byte", "bits_per_byte", str),
    ("a prompt", "ms_per_prompt", _milliseconds),
    ("a new token", "ms_per_new_token", _milliseconds),
)
# What a run of this kind cannot have is not unknown.
CANNOT_HAVE = {
    "classifier": {"validation_loss", "bits_per_byte", "ms_per_new_token"},
    "model": {"f1_macro"},
}


def lines(figures: Figures) -> list[tuple[str, ...]]:
    """A line for each figure that a run has: its name, and each run's value."""
    rows = figures["runs"]
    return [
        (label, *(_shown(row, name, form) for row in rows))
        for label, name, form in LINES
        if any(row.get(name) is not None or name not in _missing(row) for row in rows)
    ]


def _missing(row: Figures) -> set[str]:
    none = set(CANNOT_HAVE.get(row["kind"], ()))
    return none if row["method"] in ("lora", "qlora", None) else none | {"adapter_bytes"}


def _shown(row: Figures, name: str, form: Any) -> str:
    value = row.get(name)
    if value is not None:
        return str(form(value))
    return NONE if name in _missing(row) else UNKNOWN


def print_runs(figures: Figures) -> None:
    """Print the table, and below it what keeps the runs from being compared."""
    table = Table(
        Column(no_wrap=True), caption=escape("\n".join(figures["notes"])), caption_justify="left"
    )
    for row in figures["runs"]:
        table.add_column(escape(row["run"]), justify="right", overflow="fold")
    for line in lines(figures):
        table.add_row(*map(escape, line))
    Console().print(table)
