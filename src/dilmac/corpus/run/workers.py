"""Work on parts in several processes at once; results come in the order of the parts."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import Any, TypeVar

from dilmac.core import DilmacError

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers:
    """Processes that start when there is work for two of them, and stay for the next stage."""

    def __init__(self, count: int):
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        """Let the processes go."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """`work` of each task. Tasks are taken as workers come free, so that few are in memory.

        Raises:
            DilmacError: a worker died (most often: the machine ran out of memory).
        """
        tasks = iter(tasks)
        first = list(islice(tasks, 2))
        if self.count == 1 or len(first) < 2:  # one task is not worth a process
            yield from map(work, chain(first, tasks))
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, context, _die_with_parent)
        waiting: deque[Future[Result]] = deque()
        try:
            for task in chain(first, tasks):
                waiting.append(self._pool.submit(work, task))
                if len(waiting) > self.count + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DilmacError(
                "a worker process died (out of memory?)",
                mend="repeat the command: it goes on where it stopped; --workers 1 needs the least",
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _die_with_parent() -> None:
    """End this worker when the process that started it is gone, even by kill -9.

    Ctrl-C reaches all processes of a terminal; the one that started this worker deals with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    parent: Any = multiprocessing.parent_process()

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
