"""Progress that a person can read: a bar with rate and ETA, or a line now and then, and a record.

The record is `events.jsonl`: one JSON object a line, from which curves are drawn.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY_SECONDS = 10.0  # between two lines where there is no terminal

console = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """One line for the person at the screen, on standard error: output stays for results."""
    console.print(message, markup=False, soft_wrap=True)


class Events:
    """`events.jsonl`: appended as things happen, cut back when a stage resumes at a checkpoint."""

    def __init__(self, path: Path):
        self.path = path

    def cut_after(self, step: int) -> None:
        """Forget the events of steps after `step`: they are about to happen again."""
        if not self.path.exists():
            return
        kept = [event for event in read_events(self.path) if event.get("step", 0) <= step]
        lines = "".join(_line(event) for event in kept)
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.write_text(lines, encoding="utf-8")
        partial.replace(self.path)  # whole, even if the run is killed now

    def write(self, event: str, **values: Any) -> None:
        """Append an event. JSON has no NaN and no infinity: such a number is written as null."""
        line = _line({"event": event, **values, "time": round(time.time(), 3)})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)


def _line(event: dict[str, Any]) -> str:
    return json.dumps(_finite(event), ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """The same with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of an `events.jsonl`; a last line cut off by a crash is left out."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return events


class Steps:
    """Counts work done: a bar on a terminal, a line every ten seconds elsewhere.

    >>> with Steps("tokens", total=100, unit="docs") as steps:
    ...     steps.advance(10)
    """

    def __init__(self, title: str, *, total: int | None = None, done: int = 0, unit: str = ""):
        self.title, self.total, self.done, self.unit = title, total, done, unit
        self._note = ""
        self._started_at_done = done
        self._bar: Progress | None = None
        self._clock: Callable[[], float] = time.monotonic

    def __enter__(self) -> Self:
        self._start = self._last_line = self._clock()
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(self.unit),
                TimeElapsedColumn(),
                TextColumn("eta"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                self.title, total=self.total, completed=self.done, note=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self._note = note or self._note
        if self._bar:
            self._bar.update(self._task, completed=self.done, note=self._note)
        elif self._clock() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = self._clock()
            say(self.line())

    def line(self) -> str:
        """`pretrain 120/400 steps · 3.1/s · eta 0:01:30 · loss 4.2`."""
        seconds = max(self._clock() - self._start, 1e-9)
        rate = (self.done - self._started_at_done) / seconds
        total = f"/{self.total:,}" if self.total else ""
        parts = [f"{self.title} {self.done:,}{total} {self.unit}".rstrip(), f"{rate:,.1f}/s"]
        if self.total and rate > 0:
            left = int((self.total - self.done) / rate)
            parts.append(f"eta {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}")
        return " · ".join(parts + ([self._note] if self._note else []))
