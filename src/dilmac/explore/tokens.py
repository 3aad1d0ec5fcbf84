"""A text with each of its tokens in a color of its own."""

from __future__ import annotations

import html

from dilmac.tokenizer import Tokenizer

COLORS = ("#ffd9a8", "#bfe3ff", "#d6f0c2", "#f6c9d8", "#e0d4ff")


def tokens_html(tokenizer: Tokenizer, text: str) -> str:
    """An HTML fragment; a token's id is its tooltip, bytes of a character are shown as `⟨E2⟩`."""
    spans = []
    for place, row in enumerate(tokenizer.encode(text)):
        piece = tokenizer.piece(row)
        shown = html.escape(piece).replace("\n", "↵")
        color = COLORS[place % len(COLORS)]
        spans.append(f'<span style="background:{color}" title="{row}">{shown}</span>')
    return f'<p class="tokens">{"".join(spans)}</p>'
