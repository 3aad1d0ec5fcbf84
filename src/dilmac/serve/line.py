"""The line before an engine: as many requests as it has slots, in order; each can leave at any
moment.

The others wait here and not in the engine: one that goes away while it waits costs nothing, and
when an engine dies those that wait get the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from dilmac.core import DilmacError, EngineError, say
from dilmac.engines import Answer, Completion, Engine, EngineSpec, Piece, Sampling
from dilmac.serve.turns import Turns


@dataclass(frozen=True)
class End:
    """The last item of an answer: tokens that were generated, `stop` or `length`, and the tokens of
    the prompt, where they are known."""

    num_tokens: int
    finish_reason: str
    num_prompt: int | None


class EngineLine:
    """A running engine, started again after its death, and who waits for it."""

    def __init__(self, spec: EngineSpec, max_waiting: int):
        """Start the engine.

        Raises:
            EngineError: it cannot be started.
        """
        self.spec = spec
        self.turns = Turns(spec.slots, max_waiting)
        self.num_answered = 0
        self._engine = Engine(spec)
        self.context = self._engine.context
        self._start: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        return self._engine.is_alive

    async def engine(self) -> Engine:
        """The running engine, which may be a new one.

        Raises:
            EngineError: it died and cannot be started.
        """
        if not self.is_alive:
            self.restart()
            if self._start is not None:
                await asyncio.shield(self._start)  # who goes away leaves it to the others
        return self._engine

    def restart(self) -> None:
        """Begin to start a dead engine again, without waiting for it."""
        if not self.is_alive and (self._start is None or self._start.done()):
            self._start = asyncio.create_task(self._started())
            self._start.add_done_callback(_say_failure)

    async def _started(self) -> None:
        def start() -> Engine:
            self._engine.close()
            return Engine(self.spec)

        self._engine = await asyncio.to_thread(start)

    async def answer(
        self, prompt: list[int], sampling: Sampling, stop: tuple[str, ...]
    ) -> AsyncGenerator[Piece | End, None]:
        """Pieces of the answer as they come, and its end. Closing it frees the engine.

        Raises:
            BusyError: too many wait already.
            EngineError: the engine died while it answered; it is being started again.
            DilmacError: the engine refused what it was given.
        """
        async with self.turns.turn():
            engine = await self.engine()
            try:
                generation = _Generation(engine, prompt, sampling, stop)
                try:
                    async for item in generation.items():
                        self.num_answered += isinstance(item, End)
                        yield item
                finally:
                    generation.cancel()
            except EngineError as error:
                if engine.is_alive:  # it refused: a fault of ours, which no repetition mends
                    raise DilmacError(error.found, where=error.where) from error
                self.restart()
                raise

    def close(self) -> None:
        """End the engine."""
        self._engine.close()


def _say_failure(start: asyncio.Task[None]) -> None:
    if not start.cancelled() and (error := start.exception()):
        say(f"the engine cannot be started again: {error}")


class _Generation:
    """One answer: a thread reads it from the engine, the event loop takes it from a queue.

    The queue is bounded by the model's context, so a reader who is slow holds up nobody.
    """

    def __init__(
        self, engine: Engine, prompt: list[int], sampling: Sampling, stop: tuple[str, ...]
    ):
        self._items: asyncio.Queue[Piece | End | BaseException] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._is_cancelled = threading.Event()
        self._completion: Completion | None = None
        self._is_over = False
        run = self._reader(engine, prompt, sampling, stop)
        threading.Thread(target=run, daemon=True).start()

    def _reader(
        self, engine: Engine, prompt: list[int], sampling: Sampling, stop: tuple[str, ...]
    ) -> Callable[[], None]:
        def run() -> None:
            try:
                self._completion = engine.generate(prompt, sampling)
                if self._is_cancelled.is_set():  # before there was anything to cancel
                    self._completion.cancel()
                answer = Answer(engine, self._completion, stop)
                for piece in answer:
                    self._put(piece)
                reason = answer.finish_reason or "length"
                self._put(End(answer.num_tokens, reason, len(prompt)))
            except BaseException as error:
                self._put(error)

        return run

    def _put(self, item: Piece | End | BaseException) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    async def items(self) -> AsyncIterator[Piece | End]:
        while not self._is_over:
            item = await self._items.get()
            self._is_over = not isinstance(item, Piece)
            if isinstance(item, BaseException):
                raise item
            yield item

    def cancel(self) -> None:
        """Tell the engine to stop, unless it has; the thread ends with what is on its way."""
        self._is_cancelled.set()
        if self._completion is not None and not self._is_over:
            with contextlib.suppress(EngineError):  # it is dead: nothing to cancel
                self._completion.cancel()
