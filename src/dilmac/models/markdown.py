"""Values in Markdown: one line each, with what Markdown would read made plain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any


def cell(text: Any) -> str:
    """A text in a table or a sentence."""
    plain = " ".join(str(text).split())
    for mark in "\\|<>[]*`":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def shown(value: Any) -> str:
    """A value as people read it: whole numbers with thousands marks, no value as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows: Iterable[Sequence[Any]], heads: Sequence[str] = ("", "")) -> str:
    """A table, numbers to the right in all columns that hold nothing else; "" without rows."""
    rows = [*rows]
    if not rows:
        return ""
    columns = zip(heads, zip(*rows, strict=True), strict=True)
    marks = ["---:" if head and _is_numeric(column) else "---" for head, column in columns]
    lines = [f"| {' | '.join(cell(shown(value)) for value in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(heads)} |", f"|{'|'.join(marks)}|", *lines])


def _is_numeric(column: Sequence[Any]) -> bool:
    return all(value is None or isinstance(value, int | float) for value in column)
