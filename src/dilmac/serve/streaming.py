"""Server-sent events, and clients that go away: whoever hangs up frees the engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, Protocol, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from dilmac.engines import Piece
from dilmac.serve.api.errors import error_answer
from dilmac.serve.line import End

T = TypeVar("T")
CLIENT_GONE = 499  # nginx's number for it; nobody reads the answer


class Form(Protocol):
    """How an endpoint writes an answer in pieces."""

    def opening(self) -> dict[str, Any] | None: ...

    def piece(self, piece: Piece) -> dict[str, Any]: ...

    def ending(self, end: End) -> dict[str, Any]: ...

    def usage_chunk(self, end: End) -> dict[str, Any]: ...


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; it is cancelled when the client goes away before.

    Raises:
        HTTPException: 499, the client is gone.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(CLIENT_GONE, "the client is gone")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """A stream whose source is closed at its end, whichever it is; Starlette cancels it when the
    client goes away."""

    def __init__(self, events: AsyncGenerator[str, None]):
        super().__init__(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self.events):
            await super().__call__(scope, receive, send)


async def events(
    first: Piece | End, rest: AsyncGenerator[Piece | End, None], form: Form, *, with_usage: bool
) -> AsyncGenerator[str, None]:
    """The events of an answer; one that fails in the middle ends with an error, without [DONE]."""
    async with contextlib.aclosing(rest):
        if opening := form.opening():
            yield _event(opening)
        try:
            async for item in _joined(first, rest):
                if isinstance(item, Piece):
                    yield _event(form.piece(item))
                    continue
                yield _event(form.ending(item))
                if with_usage:
                    yield _event(form.usage_chunk(item))
        except Exception as error:
            yield f"data: {bytes(error_answer(error).body).decode()}\n\n"
            return
        yield "data: [DONE]\n\n"


async def _joined(
    first: Piece | End, rest: AsyncIterator[Piece | End]
) -> AsyncIterator[Piece | End]:
    yield first
    async for item in rest:
        yield item


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
