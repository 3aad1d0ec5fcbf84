"""Thoughts that an upstream leaves in the text of its answer, taken out of it."""

from __future__ import annotations

from collections.abc import Iterator

from dilmac.engines.pieces import Piece, PieceWriter
from dilmac.tokenizer import THINK_END, THINK_START

_MARKS = (THINK_START, THINK_END)


class ThoughtSplitter:
    """Pieces of a text in which a thought may stand as `<think>…</think>`, as a server without a
    parser for it sends them.

    A thought stands at the beginning. Other marks are left out, so that the answer can be sent back
    as a part of the conversation: a template that opens the thought itself leaves only its end.
    """

    def __init__(self) -> None:
        self._writer = PieceWriter(_MARKS)
        self._is_reasoning = False
        self._has_begun = False

    def pieces_with(self, text: str) -> Iterator[Piece]:
        """What can be given out with some more text."""
        while True:
            for piece in self._writer.pieces_with(text):
                self._has_begun = self._has_begun or bool(piece.text.strip())
                yield piece
            if (mark := self._writer.stopped_by) is None:
                return
            text = self._writer.after
            is_reasoning = mark == THINK_START and (self._is_reasoning or not self._has_begun)
            is_change = is_reasoning != self._is_reasoning or mark == THINK_END
            self._is_reasoning = is_reasoning
            self._writer = PieceWriter(_MARKS, is_reasoning, after_mark=is_change)

    def rest(self) -> Iterator[Piece]:
        """What was held back, at the end."""
        return self._writer.rest()
