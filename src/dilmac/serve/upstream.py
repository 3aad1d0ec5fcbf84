"""A model that a server of somebody else's runs, served as our own are: text there, text back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import PurePath

from dilmac.engines import Sampling, Upstream, UpstreamAnswer
from dilmac.serve.api.errors import ApiError
from dilmac.serve.api.requests import (
    ChatRequest,
    CompletionRequest,
    Generation,
    TokenizeRequest,
)
from dilmac.serve.line import End
from dilmac.serve.service import Health, Items, Service
from dilmac.serve.turns import Turns

ENGINE = "upstream"


class UpstreamService(Service):
    """An upstream, which answers several requests at once and counts its tokens itself."""

    def __init__(
        self, name: str, created: int, upstream: Upstream, context: int | None, turns: Turns
    ):
        super().__init__(name, created, ENGINE, context)
        self.upstream, self.turns = upstream, turns
        self._num_answered = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.upstream:
            yield

    @property
    def num_answered(self) -> int:
        return self._num_answered

    async def chat(self, asked: ChatRequest) -> Items:
        answer = await asyncio.to_thread(
            self.upstream.chat,
            [message.as_message() for message in asked.messages],
            _sampling(asked),
            asked.stop,
            enable_thinking=asked.enable_thinking,
        )
        return self._items(answer)

    async def complete(self, asked: CompletionRequest) -> Items:
        if not isinstance(asked.prompt, str):
            raise ApiError("prompt: an upstream takes text, no ids", param="prompt")
        answer = await asyncio.to_thread(
            self.upstream.complete, asked.prompt, _sampling(asked), asked.stop
        )
        return self._items(answer)

    async def tokenize(self, asked: TokenizeRequest) -> list[int]:  # noqa: ARG002
        raise ApiError("an upstream takes text and gives no ids", status=501)

    async def health(self) -> Health:
        is_there = await self.upstream.is_there()
        return Health(is_there, "unreachable", self.turns.num_running, self.turns.num_waiting)

    async def _items(self, answer: UpstreamAnswer) -> Items:
        async with self.turns.turn(), contextlib.aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                yield piece
        self._num_answered += 1
        yield End(answer.num_tokens, answer.finish_reason or "stop", answer.num_prompt)


def _sampling(asked: Generation) -> Sampling:
    """What is asked for, and nothing beside it: the rest is the upstream's to choose."""
    limit = {} if asked.limit is None else {"max_tokens": asked.limit}
    seed = {} if asked.seed is None else {"seed": asked.seed % 2**32}
    return Sampling(**limit, **seed, **asked.choices)


def without_place(name: str) -> str:
    """The name of a model; of a file's path, as llama-server lists it, the file's own name."""
    if name.endswith(".gguf") or name.startswith("/"):
        return PurePath(name.replace("\\", "/")).name.removesuffix(".gguf") or name
    return name
