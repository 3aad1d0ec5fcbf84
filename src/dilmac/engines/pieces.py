"""Text that comes bit by bit, given out in pieces: nothing of a stop, or of what may become one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Some characters of an answer, or of the thought before it."""

    text: str
    is_reasoning: bool = False


class PieceWriter:
    """Text of one part of an answer. Line ends beside a mark belong to the mark, as in Qwen3.

    `stopped_by` is the stop that ended it, `after` what came behind the stop.
    """

    def __init__(
        self, stop: tuple[str, ...], is_reasoning: bool = False, *, after_mark: bool = False
    ):
        self.stopped_by: str | None = None
        self.after = ""
        self._stop, self._is_reasoning, self._is_at_start = stop, is_reasoning, after_mark
        self._held = ""

    def pieces_with(self, new: str) -> Iterator[Piece]:
        """What can be given out with some more text."""
        text = self._held + new
        if self._is_at_start:
            text = text.lstrip("\n")
            self._is_at_start = not text
        # The stop that is whole first, however the text is cut into tokens.
        found = [
            (place + len(stop), place, stop)
            for stop in self._stop
            if (place := text.find(stop)) >= 0
        ]
        if found:
            _, place, self.stopped_by = min(found)
            self.after = text[place + len(self.stopped_by) :]
            text, self._held = self._without_line_ends(text[:place]), ""
        else:
            cut = len(text) - self._num_held(text)
            text, self._held = text[:cut], text[cut:]
        if text:
            yield Piece(text, self._is_reasoning)

    def _num_held(self, text: str) -> int:
        """Characters at the end that may be the beginning of a stop, or of a thought's end."""
        longest = max((len(stop) - 1 for stop in self._stop), default=0)
        begins = (
            size
            for size in range(min(longest, len(text)), 0, -1)
            if any(stop.startswith(text[-size:]) for stop in self._stop)
        )
        cut = len(text) - next(begins, 0)
        return len(text) - len(self._without_line_ends(text[:cut]))

    def _without_line_ends(self, text: str) -> str:
        """Those at the end of a thought may belong to its mark."""
        return text.rstrip("\n") if self._is_reasoning else text

    def rest(self) -> Iterator[Piece]:
        """What was held back, at the end of the part."""
        text = self._without_line_ends(self._held)
        if text:
            yield Piece(text, self._is_reasoning)
