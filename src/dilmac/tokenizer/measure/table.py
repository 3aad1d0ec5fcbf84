"""A comparison as a table, a column for each tokenizer: for the terminal and for the page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Column, Table

from dilmac.core import Figures

WIDEST = 1000  # of a table [characters]
UNITS = {"percent": "%", "usd": "USD", "mb": "MB"}


class Section(NamedTuple):
    """Rows of one kind: a label and a value for each tokenizer."""

    title: str
    rows: list[tuple[str, list[float]]]


def short_names(figures: Figures) -> list[str]:
    """What stands over the columns: the end of each path, if that tells them apart."""
    names = [row["tokenizer"] for row in figures["tokenizers"]]
    ends = [_end(Path(name)) for name in names]
    times = Counter(ends)
    return [end if times[end] == 1 else name for end, name in zip(ends, names, strict=True)]


def _end(path: Path) -> str:
    return "/".join(path.parts[-2:]) if path.stem == "tokenizer" else path.name


def sections(figures: Figures) -> list[Section]:
    """Everything that was measured, in the order in which it is read."""
    groups, of_text = figures["groups"], _by_figure(figures["tokenizers"])
    macro = "macro "
    saved = [(group, [row["saved_percent"] for row in rows]) for group, rows in groups.items()]
    parts = [
        Section("all text", [row for row in of_text if not row[0].startswith(macro)]),
        Section(
            f"mean of {len(groups)} groups",
            [(name.removeprefix(macro), row) for name, row in of_text if name.startswith(macro)],
        ),
        Section("saved % by group", saved),
        Section("Turkish and English", _by_figure(figures["parallel"])),
        Section("context", _by_figure(figures["context"])),
        Section("cost", _by_figure(figures["cost"])),
        Section("speed (varies)", _by_figure(figures["speed"])),
    ]
    if len(groups) == 1:  # which says all that there is to say
        parts = [part for part in parts if "group" not in part.title]
    return [part for part in parts if part.rows]


def print_comparison(figures: Figures) -> None:
    """Print the table; where a terminal is too narrow for a column each, lines run on."""
    screen = Console()
    table = comparison_table(figures)
    least = Measurement.get(screen, screen.options.update(width=WIDEST), table).minimum
    screen.print(table, width=max(screen.width, least), crop=False)


def comparison_table(figures: Figures) -> Table:
    """The table for a terminal."""
    parts = sections(figures)
    table = Table(Column(no_wrap=True), caption=_losses(figures), caption_justify="left")
    for place, name in enumerate(short_names(figures)):
        widest = max(len(shown(row[1][place])) for part in parts for row in part.rows)
        table.add_column(escape(name), justify="right", overflow="fold", min_width=widest)
    for section in parts:
        table.add_row(f"[bold]{section.title}")
        for label, values in section.rows:
            table.add_row(escape(label), *map(shown, values))
        table.add_section()
    return table


def shown(value: float) -> str:
    """A number as it is, with its thousands apart."""
    return f"{value:,}"


def _losses(figures: Figures) -> str | None:
    lines = [
        f"{row['tokenizer']} lost: {row['text']!r} came back as {row['came_back']!r}"
        for row in figures["lost"]
    ]
    return escape("\n".join(lines)) or None


def _by_figure(rows: list[Figures]) -> list[tuple[str, list[float]]]:
    names = [name for name in rows[0] if name != "tokenizer"] if rows else []
    return [(_label(name), [row[name] for row in rows]) for name in names]


def _label(name: str) -> str:
    return " ".join(UNITS.get(word, word) for word in name.split("_"))
