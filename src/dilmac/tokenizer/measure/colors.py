"""A text with each of its tokens in a color of its own."""

from __future__ import annotations

import html
from typing import Protocol

COLORS = ("#ffd9a8", "#bfe3ff", "#d6f0c2", "#f6c9d8", "#e0d4ff")


class Shows(Protocol):
    """What can be shown in color: a `Tokenizer`, or a peer of a comparison."""

    def encode(self, text: str, /) -> list[int]: ...

    def piece(self, row: int, /) -> str: ...


def tokens_html(tokenizer: Shows, text: str) -> str:
    """An HTML fragment; a token's id is its tooltip, bytes of a character are shown as `⟨E2⟩`."""
    spans = []
    for place, row in enumerate(tokenizer.encode(text)):
        shown = html.escape(tokenizer.piece(row)).replace("\n", "↵")
        color = COLORS[place % len(COLORS)]
        spans.append(f'<span style="background:{color}" title="{row}">{shown}</span>')
    return f'<p class="tokens">{"".join(spans)}</p>'
