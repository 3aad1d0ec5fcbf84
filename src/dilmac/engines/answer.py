"""What a model says, as text: whole characters as they come, thoughts apart, stops obeyed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dilmac.engines.client import Completion, Engine
from dilmac.engines.pieces import Piece, PieceWriter
from dilmac.tokenizer import ANSWER_MARKS, THINK_END, THINK_START

# A character whose bytes have not all come yet is decoded as this; it is held back.
_INCOMPLETE = "\ufffd"
_WINDOW = 32  # tokens that are decoded again with each new one


def answer_stops(control: Mapping[str, int]) -> tuple[int, ...]:
    """Ids that end an answer: every control token but those that stand within one."""
    return tuple(row for name, row in control.items() if name not in ANSWER_MARKS)


class Answer:
    """An iterator of pieces over a completion; a stop string ends it and is not given out.

    A character that is cut off at the end is left out. `num_tokens` counts what was generated,
    `finish_reason` is set at the end: `stop`, `length` or `cancelled`.
    """

    def __init__(self, engine: Engine, completion: Completion, stop: tuple[str, ...] = ()):
        self.num_tokens = 0
        self.finish_reason: str | None = None
        self._completion, self._stop = completion, stop
        self._detokenize = engine.detokenize
        self._marks = {
            engine.control_tokens[mark]: mark == THINK_START
            for mark in (THINK_START, THINK_END)
            if mark in engine.control_tokens
        }

    def __iter__(self) -> Iterator[Piece]:
        decoder, writer = _Decoder(self._detokenize), PieceWriter(self._stop)
        for token in self._completion:
            self.num_tokens += 1
            if token.id in self._marks:
                yield from writer.rest()
                is_reasoning = self._marks[token.id]
                decoder = _Decoder(self._detokenize)
                writer = PieceWriter(self._stop, is_reasoning, after_mark=True)
                continue
            yield from writer.pieces_with(decoder.add(token.id))
            if writer.stopped_by is not None:
                self._completion.cancel()
                self.finish_reason = "stop"
                return
        self.finish_reason = self._completion.finish_reason
        yield from writer.rest()


class _Decoder:
    """Text of ids that come one by one, without decoding all of them each time."""

    def __init__(self, detokenize: Callable[[list[int]], str]):
        self._detokenize = detokenize
        self._rows: list[int] = []
        self._shown = ""

    def add(self, row: int) -> str:
        """Characters that are whole with this token."""
        self._rows.append(row)
        text = self._detokenize(self._rows)
        whole = text.rstrip(_INCOMPLETE)
        new = whole[len(self._shown) :]
        if new:
            self._shown = whole
        if len(self._rows) >= _WINDOW and whole == text:
            # The last token stays, so that a tokenizer that treats a text's beginning in its own
            # way has none here; unless it is a byte of a character.
            last = self._detokenize(self._rows[-1:])
            if _INCOMPLETE not in last:
                self._rows, self._shown = self._rows[-1:], last
        return new
