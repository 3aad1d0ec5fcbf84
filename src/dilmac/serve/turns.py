"""Several requests at once, a bounded number of others in line, and no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from dilmac.core import DilmacError


class BusyError(DilmacError):
    """The line is full."""


class Turns:
    """`max_running` may go at once, `max_waiting` wait, in order."""

    def __init__(self, max_running: int, max_waiting: int):
        self.max_waiting = max_waiting
        self.num_waiting = 0
        self.num_running = 0
        self._free = asyncio.Semaphore(max_running)  # the first to wait is the first to be let in

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it; who goes away leaves the line.

        Raises:
            BusyError: too many wait already.
        """
        if self._free.locked() and self.num_waiting >= self.max_waiting:
            raise BusyError(f"{self.num_waiting} requests wait already", mend="come later")
        self.num_waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.num_waiting -= 1
        self.num_running += 1
        try:
            yield
        finally:
            self.num_running -= 1
            self._free.release()
