"""Curves of a training run, drawn from its `events.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import read_events


def training_figure(events_file: Path) -> Any:
    """Bits per byte against steps: each training step, and the held-out text.

    Training bits are estimated from the loss of the step and the corpus's mean bytes a token.
    """
    import plotly.graph_objects as go

    events = read_events(events_file)
    figure = go.Figure()
    for name, mode in (("step", "lines"), ("heldout", "lines+markers")):
        points = [event for event in events if event["event"] == name]
        figure.add_scatter(
            x=[point["step"] for point in points],
            y=[point["bits_per_byte"] for point in points],
            mode=mode,
            name={"step": "training", "heldout": "held out"}[name],
        )
    figure.update_layout(xaxis_title="step", yaxis_title="bits per byte")
    return figure
