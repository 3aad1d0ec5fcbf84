"""The page on a classifier: its figures, what it takes for what, and how it came to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dilmac.core import Figures, Page, read_events

PARTS = {"test": "Test part", "validation": "Validation part"}
CELL_PIXELS = 34


def write_classify_report(folder: Path, figures: Figures, labels: Sequence[str]) -> None:
    """Write `report.html`, self-contained."""
    page = Page("Classifier").text(_summary(figures))
    for part, title in PARTS.items():
        found = figures[part]
        if not found:
            continue
        page.heading(title).table(
            ("", "texts", "accuracy", "precision", "recall", "F1"), [_macro(found), *_rows(found)]
        )
        page.figure(confusion_figure(found["confusion"], labels))
    if curve := _curve(folder / "events.jsonl"):
        page.heading("Training").figure(curve)
    page.write(folder / "report.html")


def _summary(figures: Figures) -> str:
    said = (
        f"{figures['texts']:,} texts learned, {figures['texts_truncated']:,} of all texts cut at "
        f"{figures['max_tokens']:,} tokens; {figures['trainable_parameters']:,} of "
        f"{figures['total_parameters']:,} parameters trained."
    )
    shared = figures["texts_measured_and_learned"]
    warning = f" {shared:,} measured texts were learned, too." if shared else ""
    return f"{said} The weights are those of step {figures['best_step']:,}.{warning}"


def _macro(found: Figures) -> tuple[Any, ...]:
    names = ("accuracy", "precision_macro", "recall_macro", "f1_macro")
    return ("all (macro)", found["texts"], *(found[name] for name in names))


def _rows(found: Figures) -> list[tuple[Any, ...]]:
    return [
        (label, row["texts"], "", row["precision"], row["recall"], row["f1"])
        for label, row in found["by_label"].items()
    ]


def confusion_figure(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Any:
    """A picture of the confusion matrix; color is the share of a label's texts."""
    import plotly.graph_objects as go

    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=list(labels),
            y=list(labels),
            text=counts,
            texttemplate="%{text}",
            zmin=0,
            zmax=1,
            colorscale=[[0, "#ffffff"], [1, "#b4232a"]],
            colorbar={"title": "share of label", "tickformat": ".0%"},
            hovertemplate="%{y} → %{x}: %{text}<extra></extra>",
        )
    )
    figure.update_layout(height=180 + CELL_PIXELS * len(labels))
    figure.update_xaxes(title="predicted", type="category", automargin=True)
    return figure.update_yaxes(
        title="actual", type="category", autorange="reversed", automargin=True
    )


def _curve(events: Path) -> Any | None:
    import plotly.graph_objects as go

    found = read_events(events) if events.is_file() else []
    steps = [event for event in found if event["event"] == "step"]
    measured = [event for event in found if event["event"] == "validation"]
    if not steps:
        return None
    figure = go.Figure()
    for name, rows, key in (
        ("loss of a batch", steps, "loss"),
        ("loss of validation", measured, "loss"),
        ("macro F1 of validation", measured, "f1_macro"),
    ):
        mode = "lines+markers" if len(rows) < 20 else "lines"
        figure.add_scatter(
            name=name, x=[row["step"] for row in rows], y=[row[key] for row in rows], mode=mode
        )
    return figure.update_layout(xaxis_title="step", showlegend=True)
