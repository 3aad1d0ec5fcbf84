"""Curves of training runs, drawn from their `events.jsonl`, finished or still going on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dilmac.core import InputError, Page, read_events

FILE_NAME = "events.jsonl"
SMOOTH_STEPS = 20
SMOOTH_SHARE = 200  # a long run is smoothed over this part of its steps
MOST_POINTS = 4000  # of a curve: a browser draws more only slowly
MOST_ROWS = 40  # of a table
COLORS = ("#b4232a", "#1f6f8b", "#d98e04", "#4c7a34", "#6d4c9f", "#7a5c3e", "#4d4d4d", "#c2577c")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
Points = tuple[list[float], list[float]]


def smoothed(values: list[float], window: int = SMOOTH_STEPS) -> list[float]:
    """Mean of each value and those before it, `window` at most."""
    windows = (values[max(0, end - window) : end] for end in range(1, len(values) + 1))
    return [sum(part) / len(part) for part in windows]


def thinned(xs: list[float], ys: list[float], most: int = MOST_POINTS) -> Points:
    """The curve with at most `most` points: of each stretch the lowest and the highest stay."""
    if len(ys) <= most:
        return xs, ys
    kept: list[int] = []
    for part in np.array_split(np.arange(len(ys)), most // 2):
        values = [ys[place] for place in part]
        extremes = {int(part[np.argmin(values)]), int(part[np.argmax(values)])}
        kept += sorted(extremes)
    return [xs[place] for place in kept], [ys[place] for place in kept]


def training_figure(events_file: Path) -> Any:
    """Bits per byte against steps: each training step, and the held-out text.

    Training bits are estimated from the loss of the step and the corpus's mean bytes a token.
    """
    import plotly.graph_objects as go

    run = read_runs([events_file])[0]
    figure = go.Figure()
    steps, bits = run.curve("step", "bits_per_byte", "step")
    name = f"training (mean of {SMOOTH_STEPS} steps)"
    figure.add_scatter(x=steps, y=smoothed(bits), mode="lines", name=name)
    steps, bits = run.curve("heldout", "bits_per_byte", "step")
    figure.add_scatter(x=steps, y=bits, mode="lines+markers", name="held out")
    figure.update_layout(xaxis_title="step", yaxis_title="bits per byte")
    return figure


@dataclass(frozen=True)
class Run:
    """The events of one run, with the name and the place (color) of its curves."""

    name: str
    place: int
    events: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Events of a kind, in the order in which they happened."""
        return [event for event in self.events if event["event"] == kind]

    def curve(self, kind: str, key: str, against: str) -> Points:
        """Places on the x axis and finite values of the events that have `key`.

        Older files do not record every key; `against` is `step` or `tokens`.
        """
        found = [event for event in self.of(kind) if _is_finite(event.get(key))]
        xs = self.places([event.get("step", 0) for event in found], against)
        return xs, [event[key] for event in found]

    def places(self, steps: list[float], against: str) -> list[float]:
        """Where steps are on the x axis."""
        if against == "step" or not steps:
            return steps
        known = [event for event in self.of("step") if _is_finite(event.get("tokens"))]
        # A step that was skipped has no tokens of its own.
        tokens = np.interp(
            steps,
            [0, *(event["step"] for event in known)],
            [0, *(event["tokens"] for event in known)],
        )
        return [float(value) for value in tokens]

    def sources(self) -> list[str]:
        """The held-out sources that were measured one by one."""
        named = (event.get("by_source") or {} for event in self.of("heldout"))
        return list(dict.fromkeys(source for sources in named for source in sources))

    def heldout_of(self, source: str, against: str) -> Points:
        """Held-out bits per byte of one source."""
        found = {
            event.get("step", 0): event["by_source"][source]
            for event in self.of("heldout")
            if _is_finite((event.get("by_source") or {}).get(source))
        }
        return self.places(list(found), against), list(found.values())


def write_curves(events: Path | Sequence[Path], path: Path) -> None:
    """Write the page of one run, or of several over each other; `path` is replaced whole.

    Each of `events` is an `events.jsonl` or the folder of a model, whose run may be going on.
    One run is drawn against its steps, several against their tokens. What a file does not record
    is left out.

    Raises:
        InputError: a file is missing or records no step.
    """
    runs = read_runs([events] if isinstance(events, Path) else list(events))
    page = Page(f"Training: {', '.join(run.name for run in runs)}")
    page.table(*_summary(runs))
    has_tokens = all(run.curve("step", "tokens", "step")[0] for run in runs)
    against = "tokens" if len(runs) > 1 and has_tokens else "step"
    for title, draw in _figures().items():
        figure = draw(runs, against)
        if figure.data:
            _lay_out(figure, against)
            page.heading(title).figure(figure)
    _add_incidents(page, runs)
    _add_samples(page, runs)
    page.write(path)


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Runs by their events, each with a name of its own.

    Raises:
        InputError: a file is missing or records no step.
    """
    runs: list[Run] = []
    for place, path in enumerate(paths):
        file = _events_file(path)
        try:
            events = [event for event in read_events(file) if _is_event(event)]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"no events of a run ({error})", where=file) from error
        if not any(event["event"] in ("step", "skipped") for event in events):
            raise InputError("records no step of a training run", where=file)
        name = file.absolute().parent.name.removeprefix(".").removesuffix(".partial")
        same = sum(run.name.split(" #")[0] == name for run in runs)
        runs.append(Run(f"{name} #{same + 1}" if same else name, place, events))
    return runs


def _events_file(path: Path) -> Path:
    """The events of a file, of a model folder, or of the folder that a running stage fills."""
    if path.is_file():
        return path
    going_on = path.parent / f".{path.name}.partial" / FILE_NAME
    return going_on if not path.exists() and going_on.is_file() else path / FILE_NAME


def _is_event(event: Any) -> bool:
    return isinstance(event, dict) and isinstance(event.get("event"), str)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _figures() -> dict[str, Callable[[list[Run], str], Any]]:
    """The figures of the page in their order; one without a curve is left out."""
    return {
        "Bits per byte": _bits_figure,
        "Held-out bits per byte by source": _sources_figure,
        "Loss": lambda runs, against: _step_figure(
            runs, against, "loss", "loss [nats per token]", is_smoothed=True
        ),
        "Learning rate": lambda runs, against: _step_figure(runs, against, "rate", "rate"),
        "Gradient norm": _norm_figure,
        "Speed": lambda runs, against: _level_figure(
            runs, against, "tokens_per_second", "tokens/s"
        ),
        "Model FLOPs utilization": lambda runs, against: _level_figure(
            runs, against, "mfu", "MFU [%]", factor=100
        ),
        "Memory": lambda runs, against: _level_figure(
            runs, against, "memory_bytes", "GiB", factor=1 / (1 << 30)
        ),
    }


def _bits_figure(runs: list[Run], against: str) -> Any:
    """Training as in every step figure, held-out text with marks."""
    figure = _step_figure(runs, against, "bits_per_byte", "bits per byte", is_smoothed=True)
    for run in runs:
        xs, ys = run.curve("heldout", "bits_per_byte", against)
        if ys:
            figure.add_scatter(
                x=xs,
                y=ys,
                mode="lines+markers",
                name=f"{run.name}, held out",
                line={"color": _color(run.place), "dash": "dot"},
                marker={"size": 7},
            )
    return figure


def _sources_figure(runs: list[Run], against: str) -> Any:
    """A color for each source, a dash for each run."""
    import plotly.graph_objects as go

    figure = go.Figure()
    sources = list(dict.fromkeys(source for run in runs for source in run.sources()))
    for run in runs:
        for source in run.sources():
            xs, ys = run.heldout_of(source, against)
            line = {
                "color": _color(sources.index(source)),
                "dash": DASHES[run.place % len(DASHES)],
            }
            name = source if len(runs) == 1 else f"{source}, {run.name}"
            figure.add_scatter(x=xs, y=ys, mode="lines+markers", name=name, line=line)
    return figure.update_layout(yaxis_title="bits per byte", height=460)


def _norm_figure(runs: list[Run], against: str) -> Any:
    """Before clipping, on a logarithmic axis, with the steps that were not applied."""
    figure = _step_figure(runs, against, "grad_norm", "gradient norm", is_smoothed=True)
    for run in runs:
        skipped = run.of("skipped")
        if not skipped:
            continue
        norms: list[Any] = [event.get("grad_norm") for event in skipped]
        # One that is not finite has no place on the axis; it stands where the highest one does.
        known = [*run.curve("step", "grad_norm", "step")[1], *filter(_is_finite, norms)]
        figure.add_scatter(
            x=run.places([event.get("step", 0) for event in skipped], against),
            y=[norm if _is_finite(norm) else max(known, default=1.0) for norm in norms],
            text=[str(event.get("reason", "")) for event in skipped],
            mode="markers",
            name=f"{run.name}, skipped",
            marker={"symbol": "x", "size": 9, "color": _color(run.place)},
        )
    return figure.update_yaxes(type="log", tickformat="~g")


def _level_figure(runs: list[Run], against: str, key: str, title: str, factor: float = 1.0) -> Any:
    """What should stay as it is: shown from zero, so that noise does not look like change."""
    figure = _step_figure(runs, against, key, title, factor=factor)
    return figure.update_yaxes(rangemode="tozero")


def _step_figure(
    runs: list[Run],
    against: str,
    key: str,
    title: str,
    *,
    factor: float = 1.0,
    is_smoothed: bool = False,
) -> Any:
    """One line for each run, and behind a smoothed one each step as it was."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for run in runs:
        xs, ys = run.curve("step", key, against)
        if not ys:
            continue
        ys = [value * factor for value in ys]
        line = {"color": _color(run.place)}
        if is_smoothed:
            raw_xs, raw_ys = thinned(xs, ys)
            faint = {**line, "width": 1}
            figure.add_scatter(
                x=raw_xs, y=raw_ys, mode="lines", line=faint, opacity=0.3, showlegend=False
            )
            ys = smoothed(ys, max(SMOOTH_STEPS, len(ys) // SMOOTH_SHARE))
        xs, ys = thinned(xs, ys)
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, name=run.name)
    return figure.update_layout(yaxis_title=title)


def _lay_out(figure: Any, against: str) -> None:
    figure.update_layout(
        xaxis_title=against,
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        showlegend=True,
        hovermode="x",
    )


def _color(place: int) -> str:
    return COLORS[place % len(COLORS)]


def _summary(runs: list[Run]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: where each run stands."""
    header = ["run", "step", "tokens", "loss", "held-out bits/byte", "tokens/s", "skipped"]
    rows = []
    for run in runs:
        _, losses = run.curve("step", "loss", "step")
        heldout = run.curve("heldout", "bits_per_byte", "step")[1]
        speeds = run.curve("step", "tokens_per_second", "step")[1]
        tokens = run.curve("step", "tokens", "step")[1]
        rows.append(
            [
                run.name,
                max(event.get("step", 0) for event in run.events),
                tokens[-1] if tokens else "",
                smoothed(losses)[-1] if losses else "",
                heldout[-1] if heldout else "",
                round(sum(speeds) / len(speeds)) if speeds else "",
                len(run.of("skipped")),
            ]
        )
    return header, rows


def _add_incidents(page: Page, runs: list[Run]) -> None:
    """Warnings and steps that were not applied, the last ones."""
    rows = [
        [run.name, event.get("step", ""), str(event.get("text") or event.get("reason") or "")]
        for run in runs
        for event in run.events
        if event["event"] in ("skipped", "warning")
    ]
    if rows:
        page.heading("Skipped steps and warnings")
        if len(rows) > MOST_ROWS:
            page.text(f"The last {MOST_ROWS} of {len(rows):,}.", soft=True)
        page.table(["run", "step", "what"], rows[-MOST_ROWS:])


def _add_samples(page: Page, runs: list[Run]) -> None:
    """What the models wrote, the newest first."""
    rows = [
        [run.name, event.get("step", ""), str(event.get("prompt", "")), str(event.get("text", ""))]
        for run in runs
        for event in reversed(run.of("sample"))
    ]
    if rows:
        rows.sort(key=lambda row: -int(row[1] or 0))
        page.heading("Samples").table(["run", "step", "prompt", "text"], rows[:MOST_ROWS])
