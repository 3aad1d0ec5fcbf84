"""Several answers at once from one model: between two steps requests come and go.

One thread owns the model. A turn of it reads a part of one prompt and then decodes a token of each
answer under way, as one batch: continuous, or iteration-level, batching (Yu et al. 2022, Orca).
What else asks for the model (scores) is done between two turns, and a beam search gives the others
one at each of its steps.

dilmac-mini, fp32, one core, greedy, 64 tokens each, 1, 4 and 16 answers at once [tokens/s of
processor time, in all; by turns, the better of two; by a script that was not kept]: 55, 113 and 273
here, 36, 95 and 255 in transformers' own continuous batching, which has one seed for all requests,
besides.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from dilmac.engines.batch import Batch, Request, can_share, new_cache, read
from dilmac.engines.beams import search
from dilmac.engines.interface import READING, Progress, Token

T = TypeVar("T")
SIGN_SECONDS = 10.0  # who waits hears this often that all is well; silence means a hung engine


class Scheduler:
    """Answers `slots` requests at once; others wait, in order.

    `load` gives the model, in the thread that owns it from then on: where two threads of a process
    have teams of OpenMP's, its barriers no longer spin, and a token of Qwen3-0.6B's shape in int8
    took 111 ms instead of 92.
    """

    def __init__(self, load: Callable[[], PreTrainedModel], slots: int):
        self._slots = slots
        self._inbox: queue.SimpleQueue[Request | Callable[[], None]] = queue.SimpleQueue()
        self._waiting: deque[Request] = deque()
        self._reading: deque[Request] = deque()
        self._beams: deque[Request] = deque()  # read, for a beam search
        self._search_under_way: Request | None = None
        self._batches: list[Batch] = []
        self._last_sign = time.monotonic()
        loaded: Future[PreTrainedModel] = Future()
        threading.Thread(target=self._live, args=(load, loaded), daemon=True).start()
        self.model = loaded.result()
        self._shares = can_share(self.model)

    def answer(self, request: Request) -> Iterator[Token | Progress]:
        """Tokens of a request as they come, and why it ended as the last item."""
        self._inbox.put(request)
        try:
            while True:
                item = request.items.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, str) and item != READING:
                    return
        finally:
            request.is_left = True

    def call(self, work: Callable[[], T]) -> T:
        """What `work` gives, done by the thread that owns the model."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self._inbox.put(run)
        return future.result()

    def _live(self, load: Callable[[], PreTrainedModel], loaded: Future[PreTrainedModel]) -> None:
        try:
            loaded.set_result(load())
        except BaseException as error:
            loaded.set_exception(error)
            return
        self._run()

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                self._take(may_wait=not self._all())
                try:
                    self._turn()
                    if self._beams:
                        self._search(self._beams.popleft())
                except Exception as error:  # the thread must go on for those who come later
                    self._fail(error)

    def _all(self) -> list[Request]:
        decoding = [request for batch in self._batches for request in batch.requests]
        searching = [self._search_under_way] if self._search_under_way else []
        return [*self._waiting, *self._reading, *self._beams, *searching, *decoding]

    def _take(self, *, may_wait: bool) -> None:
        """Let in what came; with `may_wait` something must."""
        while may_wait or not self._inbox.empty():
            come = self._inbox.get()
            may_wait = False
            if isinstance(come, Request):
                self._waiting.append(come)
            else:
                come()

    def _turn(self) -> None:
        self._let_go()
        self._give_signs()
        while self._waiting and len(self._all()) - len(self._waiting) < self._slots:
            request = self._waiting.popleft()
            request.cache = new_cache(self.model)
            self._reading.append(request)
        if self._reading:
            self._read_a_part(self._reading[0])
        for batch in self._batches:
            self._decode(batch)
        self._batches = [batch for batch in self._batches if batch.requests]

    def _decode(self, batch: Batch) -> None:
        try:
            logits = batch.step().cpu().numpy()
            batch.keep([n for n, each in enumerate(batch.requests) if each.choose(logits[n])])
        except Exception as error:  # out of memory, perhaps
            for request in batch.requests:
                request.end(error)
            batch.requests = []

    def _let_go(self) -> None:
        """Forget whom nobody listens to any more. (Of a search its own steps ask that.)"""
        for line in (self._waiting, self._reading, self._beams):
            for request in [each for each in line if each.is_over()]:
                line.remove(request)
        for batch in self._batches:
            batch.keep([n for n, each in enumerate(batch.requests) if not each.is_over()])
        self._batches = [batch for batch in self._batches if batch.requests]

    def _give_signs(self) -> None:
        now = time.monotonic()
        if now - self._last_sign > SIGN_SECONDS:
            self._last_sign = now
            for request in (*self._waiting, *self._reading, *self._beams):
                request.items.put(READING)

    def _read_a_part(self, request: Request) -> None:
        try:
            is_last = len(request.parts) == 1
            if is_last and request.sampling.num_beams > 1:
                self._reading.popleft()
                self._beams.append(request)
                return
            logits = read(self.model, request.parts.popleft(), request.cache)
        except Exception as error:  # out of memory, perhaps: this prompt's own fault
            self._reading.popleft()
            request.end(error)
            return
        if not is_last:
            request.items.put(READING)
            return
        self._reading.popleft()
        if request.choose(logits[0, -1].cpu().numpy()):
            self._join(request)

    def _join(self, request: Request) -> None:
        if not (self._batches and self._shares):
            self._batches.append(Batch(self.model))
        self._batches[-1].join(request)

    def _search(self, request: Request) -> None:
        """Answer by beam search; the others have a turn at each of its steps."""

        def goes_on() -> bool:
            if request.is_over():
                return False
            self._take(may_wait=False)
            self._turn()
            return True

        self._search_under_way = request
        try:
            search(self.model, request, goes_on)
        except Exception as error:
            request.end(error)
        finally:
            self._search_under_way = None

    def _fail(self, error: Exception) -> None:
        for request in self._all():
            request.end(error)
        self._batches = []
        for line in (self._waiting, self._reading, self._beams):
            line.clear()
