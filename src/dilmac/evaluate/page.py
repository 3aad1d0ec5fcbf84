"""A page on an evaluation: the table, a figure with intervals beside chance, the groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import Figures, Page
from dilmac.evaluate.table import HEADS, HEADS_APART, notes, rows, rows_apart

RATES = ("acc", "acc_norm", "exact_match", "f1", "stop_rate", "loop_rate")
EXPLAINED = {
    "acc": "share of items whose right choice has the highest probability",
    "acc_norm": "the same, log-probabilities divided by the choice's length in characters",
    "exact_match": "share of answers that are the right one, normalized",
    "f1": "words shared with the right answer, harmonic mean of precision and recall",
    "stop_rate": "share of answers that the model ended by itself",
    "loop_rate": "share of answers that end in the same words again and again; lower is better",
    "bits_per_byte": "bits that a byte of text costs; lower is better",
}


def write_page(figures: Figures, path: Path) -> None:
    """Write the page of `dilmac evaluate --tasks`."""
    page = Page(f"Evaluation: {figures['model']}")
    page.text(
        f"Run by {figures['engine']}, seed {figures['seed']}, "
        + (f"at most {figures['limit']:,} items a task." if figures["limit"] else "all items."),
        soft=True,
    )
    page.table(HEADS, rows(figures))
    for note in notes(figures):
        page.text(note)
    page.figure(_figure(figures))
    if apart := rows_apart(figures):
        page.heading(f"Against {figures['against']['model']}, item by item")
        page.text("Value minus other; the interval is that of the differences (paired bootstrap).")
        page.table(HEADS_APART, apart)
    _add_groups(page, figures)
    _add_meaning(page, figures)
    page.write(path)


def _figure(figures: Figures) -> Any:
    """Every rate with its interval; a mark where guessing stands."""
    import plotly.graph_objects as go

    found = [
        (f"{name} · {metric}", value)
        for name, task in figures["tasks"].items()
        for metric, value in task["metrics"].items()
        if metric in RATES
    ]
    names = [name for name, _ in found]
    values = [value for _, value in found]
    figure = go.Figure()
    figure.add_bar(
        y=names,
        x=[value["value"] for value in values],
        orientation="h",
        name=figures["model"],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [value["high"] - value["value"] for value in values],
            "arrayminus": [value["value"] - value["low"] for value in values],
        },
    )
    figure.add_scatter(
        y=names,
        x=[value.get("chance") for value in values],
        mode="markers",
        name="chance",
        marker={"symbol": "line-ns-open", "size": 16, "color": "#1f6f8b", "line": {"width": 3}},
    )
    return figure.update_layout(
        xaxis={"range": [0, 1], "title": "rate"},
        yaxis={"autorange": "reversed", "automargin": True},
        height=160 + 34 * len(names),
    )


def _add_groups(page: Page, figures: Figures) -> None:
    for name, task in figures["tasks"].items():
        if "groups" not in task:
            continue
        metrics = list(task["metrics"])
        page.heading(f"{name} by group").table(
            ["group", "items", *metrics],
            [
                [group, value["num_items"], *(value[metric] for metric in metrics)]
                for group, value in task["groups"].items()
            ],
        )


def _add_meaning(page: Page, figures: Figures) -> None:
    used = {metric for task in figures["tasks"].values() for metric in task["metrics"]}
    page.heading("Tasks and metrics").table(
        ["task", "what it asks", "records", "examples"],
        [
            [name, task["title"], ", ".join(task["files"]), task["num_fewshot"]]
            for name, task in figures["tasks"].items()
        ],
    )
    page.table(
        ["metric", "meaning"], [[name, EXPLAINED[name]] for name in EXPLAINED if name in used]
    )
    page.text(
        "Intervals are 95 % bootstrap intervals over items. Adjusted is (value − chance) / "
        "(1 − chance): 0 is guessing, 1 is all right.",
        soft=True,
    )
