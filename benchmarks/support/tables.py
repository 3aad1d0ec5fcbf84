"""Results as they go into RESULTS.md: a Markdown table, and the figures as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any


def print_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A Markdown table; numbers are shown as they come, floats with up to four digits."""
    print()
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(map(shown, row)) + " |")
    print(flush=True)


def shown(value: Any) -> str:
    """A cell: 12,345 · 1.2346 · 0.012."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_json(figures: Any) -> None:
    """All figures, for a program that reads on."""
    print(json.dumps(figures, ensure_ascii=False), flush=True)
