"""Curves of a training run, drawn from its `events.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import read_events

SMOOTH_STEPS = 20


def smoothed(values: list[float]) -> list[float]:
    """Mean of each value and those before it, `SMOOTH_STEPS` at most."""
    windows = (values[max(0, end - SMOOTH_STEPS) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]


def training_figure(events_file: Path) -> Any:
    """Bits per byte against steps: each training step, and the held-out text.

    Training bits are estimated from the loss of the step and the corpus's mean bytes a token.
    """
    import plotly.graph_objects as go

    events = read_events(events_file)
    figure = go.Figure()
    steps = [event for event in events if event["event"] == "step"]
    heldout = [event for event in events if event["event"] == "heldout"]
    figure.add_scatter(
        x=[event["step"] for event in steps],
        y=smoothed([event["bits_per_byte"] for event in steps]),
        mode="lines",
        name=f"training (mean of {SMOOTH_STEPS} steps)",
    )
    figure.add_scatter(
        x=[event["step"] for event in heldout],
        y=[event["bits_per_byte"] for event in heldout],
        mode="lines+markers",
        name="held out",
    )
    figure.update_layout(xaxis_title="step", yaxis_title="bits per byte")
    return figure
