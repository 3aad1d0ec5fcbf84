"""What is answered, in OpenAI's form: whole, or in chunks."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

from dilmac.engines import Piece
from dilmac.serve.line import End


@dataclass(frozen=True)
class _Form:
    """One answer: its id and time, and its model.

    With `with_usage` every chunk of a stream has a `usage`, which is null until the last.
    """

    model: str
    with_usage: bool = False
    number: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))
    kind: ClassVar[str]
    chunk_kind: ClassVar[str]
    prefix: ClassVar[str]

    def _frame(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"{self.prefix}-{self.number}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        usage = {"usage": None} if self.with_usage else {}
        return {**self._frame(self.chunk_kind, choices), **usage}

    def usage(self, end: End) -> dict[str, int] | None:
        if end.num_prompt is None:  # an upstream that counts nothing
            return None
        return {
            "prompt_tokens": end.num_prompt,
            "completion_tokens": end.num_tokens,
            "total_tokens": end.num_prompt + end.num_tokens,
        }

    def usage_chunk(self, end: End) -> dict[str, Any]:
        return {**self._chunk([]), "usage": self.usage(end)}


class ChatForm(_Form):
    """`chat.completion`; what the model thought stands apart, as `reasoning_content`."""

    kind, chunk_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def opening(self) -> dict[str, Any]:
        return self._delta({"role": "assistant", "content": ""}, None)

    def piece(self, piece: Piece) -> dict[str, Any]:
        name = "reasoning_content" if piece.is_reasoning else "content"
        return self._delta({name: piece.text}, None)

    def ending(self, end: End) -> dict[str, Any]:
        return self._delta({}, end.finish_reason)

    def whole(self, pieces: list[Piece], end: End) -> dict[str, Any]:
        message = {"role": "assistant", "content": _text(pieces, False), "refusal": None}
        if reasoning := _text(pieces, True):
            message["reasoning_content"] = reasoning
        choice = {"index": 0, "message": message, "finish_reason": end.finish_reason}
        frame = self._frame(self.kind, [{**choice, "logprobs": None}])
        return {**frame, "usage": self.usage(end)}

    def _delta(self, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": reason}])


class CompletionForm(_Form):
    """`text_completion`"""

    kind = chunk_kind = "text_completion"
    prefix = "cmpl"

    def opening(self) -> None:
        return None

    def piece(self, piece: Piece) -> dict[str, Any]:
        return self._chunk([self._choice(piece.text, None)])

    def ending(self, end: End) -> dict[str, Any]:
        return self._chunk([self._choice("", end.finish_reason)])

    def whole(self, pieces: list[Piece], end: End) -> dict[str, Any]:
        text = "".join(piece.text for piece in pieces)
        frame = self._frame(self.kind, [self._choice(text, end.finish_reason)])
        return {**frame, "usage": self.usage(end)}

    def _choice(self, text: str, reason: str | None) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}


def _text(pieces: list[Piece], is_reasoning: bool) -> str:
    return "".join(piece.text for piece in pieces if piece.is_reasoning == is_reasoning)
