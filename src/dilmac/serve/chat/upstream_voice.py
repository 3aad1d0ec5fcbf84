"""An upstream that answers in a conversation, for whoever has no event loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from dilmac.engines import (
    Piece,
    Sampling,
    Upstream,
    UpstreamAnswer,
    UpstreamError,
    UpstreamSpec,
    find_model,
)
from dilmac.tokenizer import Message


class UpstreamVoice:
    """An upstream in an event loop of its own, in a thread."""

    def __init__(self, spec: UpstreamSpec):
        """Find its model.

        Raises:
            UpstreamError: it cannot be reached, or its model is not clear.
        """
        ready: Future[Upstream] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(spec, ready)), daemon=True
        )
        self._thread.start()
        self._upstream = ready.result()

    async def _live(self, spec: UpstreamSpec, ready: Future[Upstream]) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        try:
            model = await find_model(spec)
            async with Upstream(spec, model.name) as upstream:
                ready.set_result(upstream)
                await self._end.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    @property
    def description(self) -> str:
        return f"{self._upstream.model} · upstream · {self._upstream.spec.url}"

    def answer(
        self, system: Sequence[Message], turns: Sequence[Message], sampling: Sampling
    ) -> _Spoken:
        return _Spoken(self._upstream, self._loop, [*system], [*turns], sampling)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


class _Spoken:
    """An answer of an upstream, read by a thread that waits for it."""

    def __init__(
        self,
        upstream: Upstream,
        loop: asyncio.AbstractEventLoop,
        system: list[Message],
        turns: list[Message],
        sampling: Sampling,
    ):
        self.num_tokens = 0
        self.finish_reason: str | None = None
        self._upstream, self._loop = upstream, loop
        self._system, self._turns, self._sampling = system, turns, sampling

    def __iter__(self) -> Iterator[Piece]:
        """As only the upstream knows its tokens, it is asked again with fewer turns when it says
        that they do not fit."""
        while True:
            has_begun = False
            try:
                for piece in self._pieces():
                    has_begun = True
                    yield piece
                return
            except UpstreamError as error:
                if has_begun or not error.is_too_long or len(self._turns) == 1:
                    raise
            self._turns = self._turns[2:]

    def _pieces(self) -> Iterator[Piece]:
        answer = self._upstream.chat([*self._system, *self._turns], self._sampling)
        items: queue.SimpleQueue[Piece | BaseException | None] = queue.SimpleQueue()
        reading = asyncio.run_coroutine_threadsafe(_read(answer, items), self._loop)
        try:
            while (item := items.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                self.num_tokens = answer.num_tokens
                yield item
        finally:
            reading.cancel()  # who goes away hangs up
        self.num_tokens, self.finish_reason = answer.num_tokens, answer.finish_reason


async def _read(
    answer: UpstreamAnswer, items: queue.SimpleQueue[Piece | BaseException | None]
) -> None:
    try:
        async with contextlib.aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                items.put(piece)
        items.put(None)
    except Exception as error:
        items.put(error)
