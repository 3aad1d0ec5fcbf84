"""What goes wrong on the way to an upstream, and what it says when it refuses."""

from __future__ import annotations

import json
from typing import Any

from dilmac.core import EngineError

MAX_SHOWN = 300  # characters of what the far side says
_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error")  # OpenAI; llama-server
_TOO_LONG_WORDS = ("context length", "context size", "context window")  # vLLM, SGLang, LM Studio


class UpstreamError(EngineError):
    """An upstream cannot be reached, refuses, or does not speak as it should.

    `status` is its HTTP status where it gave one, `is_too_long` whether it says that the prompt
    does not fit its context.
    """

    def __init__(
        self,
        found: str,
        *,
        where: str,
        mend: str | None = None,
        status: int | None = None,
        is_too_long: bool = False,
    ):
        super().__init__(found, where=where, mend=mend)
        self.status, self.is_too_long = status, is_too_long


def refusal(status: int, body: bytes, *, where: str, location: str | None = None) -> UpstreamError:
    """The error for an answer whose status is not 200."""
    said = _said(body)
    shown = f": {said}" if said else ""
    if 300 <= status < 400:
        target = f" to {_printable(location)}" if location else ""
        found = f"answers with a redirect ({status}){target}, which is not followed"
        return UpstreamError(
            found, where=where, status=status, mend="give the address it leads to by --upstream"
        )
    mend = {
        401: "--upstream-key-variable names the environment variable that holds the key",
        403: "--upstream-key-variable names the environment variable that holds the key",
        404: "see that the address ends as the server's own does (most often in /v1), and that "
        "--upstream-model is a name that its /models lists",
        429: "it is busy; come later",
        503: "it is busy or still loading; come later",
    }.get(status)
    return UpstreamError(
        f"refuses with {status}{shown}",
        where=where,
        status=status,
        mend=mend,
        is_too_long=status in (400, 413, 422) and _is_too_long(body),
    )


def error_in_stream(error: Any, *, where: str) -> UpstreamError:
    """The error for an event that holds one instead of a part of the answer."""
    body = json.dumps({"error": error}).encode()
    said = _said(body)
    return UpstreamError(
        f"broke off with an error: {said}", where=where, is_too_long=_is_too_long(body)
    )


def _is_too_long(body: bytes) -> bool:
    text = body.decode("utf-8", "replace").lower()
    return any(word in text for word in (*_TOO_LONG, *_TOO_LONG_WORDS))


def _said(body: bytes) -> str:
    """The message in an error's body: OpenAI's form, FastAPI's, Ollama's, or the text itself."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _printable(text)
    for name in ("error", "detail", "message"):
        if isinstance(value, dict) and value.get(name):
            value = value[name]
    return _printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _printable(text: str) -> str:
    """One line without what a terminal would obey, cut to a bearable length."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}…"
