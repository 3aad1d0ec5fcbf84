"""Work on parts in several processes at once; results come in the order of the parts."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
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


def map_parts(
    work: Callable[[Task], Result], tasks: Iterable[Task], num_workers: int
) -> Iterator[Result]:
    """`work` of each task. Tasks are taken as workers come free, so that few are in memory.

    Raises:
        DilmacError: a worker died (most often: the machine ran out of memory).
    """
    tasks = iter(tasks)
    first = list(islice(tasks, 2))
    if num_workers == 1 or len(first) < 2:  # one task is not worth a process
        yield from map(work, chain(first, tasks))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_die_with_parent) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in chain(first, tasks):
                waiting.append(pool.submit(work, task))
                if len(waiting) > num_workers + 1:
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
    """End this worker when the process that started it is gone, even by kill -9."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parent: Any = multiprocessing.parent_process()

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
