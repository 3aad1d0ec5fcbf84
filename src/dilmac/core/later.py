"""Work beside the work: what takes its own time and is needed only later."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Later(Generic[T]):
    """A value that a thread computes while the caller goes on.

    The thread ends with the program: an interrupted stage does not wait for it.
    """

    def __init__(self, compute: Callable[[], T]):
        self._future: Future[T] = Future()
        self._compute = compute
        Thread(target=self._run, daemon=True).start()

    def result(self) -> T:
        """The value, or the error that computing it ended with; waits for it."""
        return self._future.result()

    def _run(self) -> None:
        try:
            self._future.set_result(self._compute())
        except BaseException as error:
            self._future.set_exception(error)
