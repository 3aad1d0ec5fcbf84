"""One style for every HTML page and figure: self-contained, light and dark, no network."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dilmac.core.errors import ConfigError
from dilmac.core.files import written_whole

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --paper: #fbfaf7; --soft: #6b7280;
  --line: #dcd8cf; --accent: #b4232a; --card: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --paper: #16181d;
  --soft: #9aa0ab; --line: #33363f; --accent: #ff7b72; --card: #1e2128; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .25rem; } h1::after { content: ""; display: block;
  width: 3.5rem; height: 4px; background: var(--accent); margin-top: .5rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; }
p.soft, td.soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } td.number { text-align: right; }
pre, code { font-family: ui-monospace, "Cascadia Mono", Menlo, monospace; font-size: .9em; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
  padding: .75rem 1rem; overflow-x: auto; white-space: pre-wrap; }
.figure { background: #fff; border: 1px solid var(--line); border-radius: .4rem; padding: .25rem; }
.tokens { line-height: 2.1; } .tokens span { padding: .15rem .1rem; border-radius: .25rem;
  color: #16181d; white-space: pre-wrap; }
"""


class Page:
    """A page built top to bottom: `Page("Title").text(…).table(…).figure(…).write(path)`."""

    def __init__(self, title: str, lang: str = "en"):
        self.title, self.lang = title, lang
        self._parts: list[str] = []
        self._has_figure = False

    def heading(self, text: str) -> Page:
        self._parts.append(f"<h2>{html.escape(text)}</h2>")
        return self

    def text(self, text: str, *, soft: bool = False) -> Page:
        style = ' class="soft"' if soft else ""
        self._parts.append(f"<p{style}>{html.escape(text)}</p>")
        return self

    def code(self, text: str) -> Page:
        self._parts.append(f"<pre>{html.escape(text)}</pre>")
        return self

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Page:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
        body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
        self._parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        return self

    def raw(self, fragment: str) -> Page:
        """HTML made by another room, which has escaped what came from outside."""
        self._parts.append(fragment)
        return self

    def figure(self, figure: Any) -> Page:
        """A plotly figure."""
        self._parts.append(f'<div class="figure">{figure_html(figure)}</div>')
        self._has_figure = True
        return self

    def render(self) -> str:
        script = ""
        if self._has_figure:
            from plotly.offline import get_plotlyjs

            script = f"<script>{get_plotlyjs()}</script>"
        return (
            f'<!doctype html>\n<html lang="{self.lang}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style>{script}</head>"
            f"<body><h1>{html.escape(self.title)}</h1>\n"
            + "\n".join(self._parts)
            + "</body></html>\n"
        )

    def write(self, path: Path) -> None:
        with written_whole(path, "w") as file:
            file.write(self.render())


def figure_html(figure: Any) -> str:
    """A plotly figure in the house style as an HTML fragment (the page brings the script)."""
    figure.update_layout(
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13},
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        colorway=["#b4232a", "#1f6f8b", "#d98e04", "#4c7a34", "#6d4c9f"],
        height=figure.layout.height or 380,
    )
    config = {"displaylogo": False, "responsive": True}
    fragment: str = figure.to_html(full_html=False, include_plotlyjs=False, config=config)
    return fragment


def _cell(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, float):
        shown = f"{value:,.4g}"
    elif is_number:
        shown = f"{value:,}"
    else:
        shown = html.escape(str(value))
    return f'<td class="number">{shown}</td>' if is_number else f"<td>{shown}</td>"


def require_writable(path: Path, flag: str = "--html") -> None:
    """Refuse, before anything is measured, a file that could not be written.

    Raises:
        ConfigError: it is a folder, or its folder is missing or closed.
    """
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        found = "is a folder" if path.is_dir() else f"no folder to write to: {folder}"
        raise ConfigError(found, where=f"{flag} {path}", mend="name a file in a folder that exists")
