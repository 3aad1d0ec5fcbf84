"""What a model says, as text: whole characters as they come, thoughts apart, stops obeyed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dilmac.engines.client import Completion, Engine
from dilmac.tokenizer import ANSWER_MARKS, THINK_END, THINK_START

# A character whose bytes have not all come yet is decoded as this; it is held back.
_INCOMPLETE = "\ufffd"
_WINDOW = 32  # tokens that are decoded again with each new one


def answer_stops(control: Mapping[str, int]) -> tuple[int, ...]:
    """Ids that end an answer: every control token but those that stand within one."""
    return tuple(row for name, row in control.items() if name not in ANSWER_MARKS)


@dataclass(frozen=True)
class Piece:
    """Some characters of an answer, or of the thought before it."""

    text: str
    is_reasoning: bool = False


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
        writer = _Writer(self._detokenize, self._stop, is_reasoning=False)
        for token in self._completion:
            self.num_tokens += 1
            if token.id in self._marks:
                yield from writer.rest()
                is_reasoning = self._marks[token.id]
                writer = _Writer(self._detokenize, self._stop, is_reasoning, after_mark=True)
                continue
            yield from writer.pieces_with(token.id)
            if writer.is_stopped:
                self._completion.cancel()
                self.finish_reason = "stop"
                return
        self.finish_reason = self._completion.finish_reason
        yield from writer.rest()


class _Writer:
    """Text of one part of an answer. Line ends beside a mark belong to the mark, as in Qwen3."""

    def __init__(
        self,
        detokenize: Callable[[list[int]], str],
        stop: tuple[str, ...],
        is_reasoning: bool,
        *,
        after_mark: bool = False,
    ):
        self.is_stopped = False
        self._decoder = _Decoder(detokenize)
        self._stop, self._is_reasoning, self._is_at_start = stop, is_reasoning, after_mark
        self._held = ""

    def pieces_with(self, row: int) -> Iterator[Piece]:
        """What can be given out with one more token."""
        text = self._held + self._decoder.add(row)
        if self._is_at_start:
            text = text.lstrip("\n")
            self._is_at_start = not text
        found = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if found:
            self.is_stopped = True
            text, self._held = text[: min(found)], ""
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
        num_line_ends = len(text) - len(text.rstrip("\n")) if self._is_reasoning else 0
        return max(next(begins, 0), num_line_ends)

    def rest(self) -> Iterator[Piece]:
        """What was held back, at the end of the part."""
        text = self._held.rstrip("\n") if self._is_reasoning else self._held
        if text:
            yield Piece(text, self._is_reasoning)


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
