"""Requests that are decoded together: one batch of rows, which join and leave between steps."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from dilmac.core import DilmacError
from dilmac.engines.choosing import Array, Chooser
from dilmac.engines.growing import GrowingLayer
from dilmac.engines.interface import FinishReason, Progress, Sampling, Token


class Request:
    """An answer in the making: what is still to be read, what was chosen last, and who listens.

    `room` is how many tokens may be generated; `parts` are the prompt's, each [1, length].
    """

    def __init__(
        self,
        parts: tuple[torch.Tensor, ...],
        sampling: Sampling,
        room: int,
        chooser: Chooser,
        is_cancelled: Callable[[], bool],
    ):
        self.parts = deque(parts)
        self.sampling, self.room = sampling, room
        self.items: queue.SimpleQueue[Token | Progress | Exception] = queue.SimpleQueue()
        self.cache: Any = None
        self.last = 0
        self.is_left = False
        self.suppressed = chooser.suppressed
        self._chooser, self._is_cancelled = chooser, is_cancelled

    def is_over(self) -> bool:
        """Whether nobody wants the rest; whoever cancelled is told."""
        if not self.is_left and self._is_cancelled():
            self.items.put("cancelled")
            return True
        return self.is_left

    def choose(self, logits: Array) -> bool:
        """Give out the next token by its logits [rows]; whether another one is to follow.

        Where there is none to choose, this answer ends with the reason, and no other.
        """
        try:
            token = self._chooser(logits)
        except DilmacError as error:
            self.end(error)
            return False
        if token.id in self.sampling.stop_ids:
            self.items.put("stop")
            return False
        return self.give(token)

    def give(self, token: Token) -> bool:
        """Give a token out; whether there is room for another one."""
        self.items.put(token)
        self.last = token.id
        self.room -= 1
        if self.room == 0:
            self.items.put("length")
        return self.room > 0

    def end(self, reason: FinishReason | Exception) -> None:
        self.items.put(reason)


def read(
    model: PreTrainedModel, ids: torch.Tensor, cache: Any, *, num_logits: int = 1, **settings: Any
) -> torch.Tensor:
    """Logits of what follows each of the last `num_logits` of `ids` [rows, length] (0 takes all),
    after all that is in `cache`: [rows, num_logits, vocabulary] in float32."""
    answer = model(
        input_ids=ids,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=num_logits,
        **settings,
    )
    logits: torch.Tensor = answer.logits.float()
    return logits


def can_share(model: PreTrainedModel) -> bool:
    """Whether rows of several requests fit into one cache: every layer keeps all keys and values.

    Sliding windows and states of linear attention know nothing of padding, and models that see
    have positions of their own.
    """
    is_plain = all(type(layer) is DynamicLayer for layer in new_cache(model).layers)
    return is_plain and not hasattr(model.config, "vision_config")


def new_cache(model: PreTrainedModel) -> DynamicCache:
    """An empty cache with the kinds of layers that the model has."""
    return DynamicCache(config=model.config)


class Batch:
    """Requests whose prompts are read. Shorter ones are padded on the left, and masked there; one
    that is alone, or among equals, is computed as if there were no batch."""

    def __init__(self, model: PreTrainedModel):
        self.requests: list[Request] = []
        self._model = model
        self._padding: list[int] = []  # positions before each row's first token
        self._cache: Any = None

    def join(self, request: Request) -> None:
        """Take in a request with its cache and its last token, which is not in the cache yet."""
        layers = [GrowingLayer.of(layer) for layer in request.cache.layers]
        if not self.requests:
            self.requests, self._padding, self._cache = [request], [0], request.cache
        else:
            ours, theirs = self._cache.get_seq_length(), request.cache.get_seq_length()
            pairs = zip(self._cache.layers, layers, strict=True)
            layers = [mine.joined(other) for mine, other in pairs]
            self._padding = [padding + max(0, theirs - ours) for padding in self._padding]
            self._padding.append(max(0, ours - theirs))
            self.requests.append(request)
        self._cache.layers = layers
        request.cache = None

    def keep(self, places: list[int]) -> None:
        """Let all requests but those at `places` go, and the padding that they alone needed."""
        if len(places) == len(self.requests):
            return
        self.requests = [self.requests[place] for place in places]
        padding = [self._padding[place] for place in places]
        if not places:
            self._padding, self._cache = [], None
            return
        unused = min(padding)
        self._padding = [each - unused for each in padding]
        rows = torch.tensor(places, device=self._model.device)
        self._cache.layers = [layer.kept(rows, unused) for layer in self._cache.layers]

    def step(self) -> torch.Tensor:
        """Logits of every request's next token, [requests, vocabulary]."""
        device = self._model.device
        ids = torch.tensor([[request.last] for request in self.requests], device=device)
        settings = {}
        if any(self._padding):
            padding = torch.tensor(self._padding, device=device)[:, None]
            length = self._cache.get_seq_length()
            settings["attention_mask"] = torch.arange(length + 1, device=device) >= padding
            settings["position_ids"] = length - padding
        return read(self._model, ids, self._cache, **settings)[:, -1]
