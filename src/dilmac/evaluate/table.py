"""Figures of tasks as a table, a row for each metric: for the terminal and for the page."""

from __future__ import annotations

from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Column, Table

from dilmac.core import Figures

WIDEST = 1000  # of a table [characters]


class Row(NamedTuple):
    """A metric of a task; numbers as they are shown, empty where there are none."""

    task: str
    metric: str
    items: int
    value: float
    interval: str
    chance: str
    adjusted: str
    reading: str


class Apart(NamedTuple):
    """Two models on a metric of a task, item by item."""

    task: str
    metric: str
    ours: float
    other: float
    difference: str
    interval: str
    better: int
    worse: int


HEADS = ("task", "metric", "items", "value", "95 % interval", "chance", "adjusted", "")
HEADS_APART = ("task", "metric", "value", "other", "difference", "95 % interval", "better", "worse")


def rows(figures: Figures) -> list[Row]:
    """A row for each metric of each task."""
    return [
        Row(
            name,
            metric,
            task["num_items"],
            value["value"],
            _interval(value),
            f"{value['chance']:.3f}" if "chance" in value else "",
            f"{value['chance_adjusted']:+.3f}" if "chance" in value else "",
            reading(value),
        )
        for name, task in figures["tasks"].items()
        for metric, value in task["metrics"].items()
    ]


def rows_apart(figures: Figures) -> list[Apart]:
    """A row for each metric that two models share; none where there is one model."""
    return [
        Apart(
            name,
            metric,
            figures["tasks"][name]["metrics"][metric]["value"],
            value["other"],
            f"{value['difference']:+.4f}",
            f"{value['low']:+.4f} … {value['high']:+.4f}",
            value["num_better"],
            value["num_worse"],
        )
        for name, metrics in figures.get("against", {}).get("tasks", {}).items()
        for metric, value in metrics.items()
    ]


def notes(figures: Figures) -> list[str]:
    """What a reader of the table must know: what was cut, and what was left out and why."""
    cut = [
        f"{name}: {task['num_truncated']:,} prompts were longer than the context and lost their "
        "beginning"
        for name, task in figures["tasks"].items()
        if "num_truncated" in task
    ]
    rejected = [
        f"{name}: {task['num_rejected']:,} records could not be asked"
        for name, task in figures["tasks"].items()
        if task["num_rejected"]
    ]
    return (
        cut
        + rejected
        + [f"{name} was left out: {why}" for name, why in figures.get("left_out", {}).items()]
    )


def print_evaluation(figures: Figures) -> None:
    """The tables of `dilmac evaluate --tasks`; where a terminal is too narrow, lines run on."""
    console = Console(highlight=False, width=WIDEST)
    console.print(f"{figures['model']} ({figures['engine']}), seed {figures['seed']}", markup=False)
    _print(console, HEADS, rows(figures))
    if apart := rows_apart(figures):
        console.print(f"against {figures['against']['model']}, item by item", markup=False)
        _print(console, HEADS_APART, apart)
    for note in notes(figures):
        console.print(note, markup=False, soft_wrap=True)


def _print(console: Console, heads: tuple[str, ...], found: list[Any]) -> None:
    left = ("task", "metric", "")
    table = Table(
        *(Column(head, justify="left" if head in left else "right", no_wrap=True) for head in heads)
    )
    for row in found:
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)


def _interval(value: Figures) -> str:
    return f"{value['low']:.3f} … {value['high']:.3f}"


def reading(value: Figures) -> str:
    """Whether the interval lies above, around or below chance."""
    if "chance" not in value:
        return ""
    if value["is_above_chance"]:
        return "above chance"
    return "below chance" if value["high"] < value["chance"] else "at chance"
