"""The figures of an estimate as a table."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from dilmac.core import Figures, console
from dilmac.models import gib, print_table

UNKNOWN = "unknown"


def print_estimate(figures: Figures) -> None:
    """A line for each stage; below it the parts of every figure, warnings, and what is unknown."""
    print_table(_overview(figures))
    for name, stage in figures["stages"].items():
        parts = _parts(name, stage)
        if parts.row_count:
            print_table(parts)
        for note in stage["notes"]:
            console.print(f"{name}: {note}", markup=False, soft_wrap=True)
        for reason in stage["unknown"]:
            console.print(f"{name}: unknown: {reason}", markup=False, soft_wrap=True)


def duration(seconds: float | None) -> str:
    """`42 s`, `12 min`, `3.4 h` or `5.1 days`."""
    if seconds is None:
        return UNKNOWN
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:,.0f} {unit}" if size < 3600 else f"{seconds / size:,.1f} h"
    return f"{seconds / 86_400:,.1f} days"


def _overview(figures: Figures) -> Table:
    memory, count = figures["device_memory_bytes"], figures["devices"]
    has = f", {gib(memory)} each" if memory and count > 1 else f", {gib(memory)}" if memory else ""
    title = f"on {f'{count} × ' if count > 1 else ''}{figures['device']}{has}"
    table = Table(box=box.SIMPLE, title=title, title_justify="left", title_style="")
    table.add_column("stage", no_wrap=True)
    for head in ("verb", "peak memory", "fits", "time", "from", "cost"):
        table.add_column(head, justify="left" if head in ("verb", "from") else "right")
    for name, stage in figures["stages"].items():
        table.add_row(
            name,
            stage["verb"],
            UNKNOWN if stage["memory_bytes"] is None else gib(stage["memory_bytes"]),
            {True: "yes", False: "NO", None: ""}[stage["fits"]],
            "complete" if stage["complete"] else duration(stage["seconds"]),
            stage["seconds_from"] or "",
            _cost(stage["cost"]),
        )
    total = figures["total"]
    if len(figures["stages"]) > 1:
        peak = total["peak_memory_bytes"]
        more = "" if total["is_whole"] else "at least "
        table.add_section()
        shown = gib(peak) if peak else UNKNOWN
        table.add_row(
            "total", "", shown, "", more + duration(total["seconds"]), "", _cost(total["cost"])
        )
    return table


def _cost(amount: float | None) -> str:
    return "" if amount is None else f"{amount:,.2f}"


def _parts(name: str, stage: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE, title=name, title_justify="left", title_style="")
    for head in ("part", "amount", "how"):
        table.add_column(head, justify="right" if head == "amount" else "left")
    for part, value in stage["memory_parts"].items():
        table.add_row(part, gib(value["amount"]), value["formula"])
    for part, value in stage["seconds_parts"].items():
        table.add_row(part, duration(value["amount"]), value["formula"])
    return table
