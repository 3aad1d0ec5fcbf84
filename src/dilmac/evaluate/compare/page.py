"""A page on a comparison: the table, and latency as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import Figures, Page
from dilmac.evaluate.compare.table import lines

BAR_PIXELS = 40


def write_page(path: Path, figures: Figures) -> None:
    """Write the page, self-contained."""
    rows = figures["runs"]
    page = Page("Runs compared")
    page.text(
        "What a run did not record is unknown. Latency was measured when this page was made, on "
        "one machine: the same prompts, one at a time; the medians.",
        soft=True,
    )
    page.table(("", *(row["run"] for row in rows)), lines(figures))
    for note in figures["notes"]:
        page.text(note)
    if any(row["ms_per_prompt"] is not None for row in rows):
        page.heading("Latency of a prompt").figure(_latency_figure(rows))
    page.write(path)


def _latency_figure(rows: list[Figures]) -> Any:
    import plotly.graph_objects as go

    known = [row for row in rows if row["ms_per_prompt"] is not None]
    places = list(range(len(known)))
    bar = go.Bar(y=places, x=[row["ms_per_prompt"] for row in known], orientation="h")
    figure = go.Figure(bar)
    figure.update_layout(xaxis_title="ms", height=140 + BAR_PIXELS * len(known))
    names = [row["run"] for row in known]
    return figure.update_yaxes(
        tickvals=places, ticktext=names, autorange="reversed", automargin=True
    )
