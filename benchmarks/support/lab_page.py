"""The curves of the transplant lab as a page: bits per byte on the way, by vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import Page

TITLES = {"fresh": "Turkish", "english": "English", "code": "code"}


def write_page(path: Path, runs: dict[str, dict[str, Any]]) -> None:
    """A figure for every vocabulary and kind of text; names are `way method seed`."""
    page = Page("The transplant lab")
    ways = dict.fromkeys(name.split()[0] for name in runs)
    for way in ways:
        if way == "control":
            continue
        page.heading(way)
        for kind, title in TITLES.items():
            own = {n: f for n, f in runs.items() if n.split()[0] in (way, "control")}
            page.figure(_figure(own, kind, title))
    page.write(path)


def _figure(runs: dict[str, dict[str, Any]], kind: str, title: str) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, figures in runs.items():
        steps = [step for step, _ in figures["curve"]]
        bits = [values[kind] for _, values in figures["curve"]]
        dash = "dash" if name.startswith("control") else "solid"
        figure.add_scatter(x=steps, y=bits, name=name, mode="lines+markers", line={"dash": dash})
    figure.update_layout(title=title, xaxis_title="steps", yaxis_title="bits per byte")
    return figure
