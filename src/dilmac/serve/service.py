"""The model that is served: what a request of each kind comes to, and how a request becomes ids."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from dilmac.engines import EngineTokenizer, Piece, Sampling, answer_stops
from dilmac.serve.api.errors import ApiError
from dilmac.serve.api.requests import (
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    Generation,
    TokenizeRequest,
)
from dilmac.serve.line import End, EngineLine
from dilmac.tokenizer import document_start, encode_chat

Items = AsyncGenerator[Piece | End, None]


@dataclass(frozen=True)
class Health:
    """Whether the model can answer now, what it is `otherwise`, and how many ask."""

    is_up: bool
    otherwise: str
    num_running: int
    num_waiting: int


class Service(ABC):
    """One model under one name; requests in, pieces and an end out. What a request asks wrongly is
    an `ApiError` or an `InputError` before the first piece.

    `created` is when it was started [seconds since 1970], `engine` the kind of what runs it,
    `context` its window [tokens] where it is known.
    """

    def __init__(self, name: str, created: int, engine: str, context: int | None):
        self.name, self.created = name, created
        self.engine, self.context = engine, context

    def require_model(self, name: str) -> None:
        """Refuse a request that asks for another model: no name leads to a file or an address.

        Raises:
            ApiError: 404.
        """
        if name != self.name:
            raise ApiError(
                f"there is no such model; this server has {self.name!r}",
                status=404,
                param="model",
                code="model_not_found",
            )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What must be open in the server's event loop while it runs."""
        yield

    @property
    @abstractmethod
    def num_answered(self) -> int:
        """Answers that came to their end."""

    @abstractmethod
    async def chat(self, asked: ChatRequest) -> Items:
        """The assistant's next turn."""

    @abstractmethod
    async def complete(self, asked: CompletionRequest) -> Items:
        """How a text goes on."""

    @abstractmethod
    async def tokenize(self, asked: TokenizeRequest) -> list[int]:
        """Ids of a text as content, or of a conversation."""

    @abstractmethod
    async def health(self) -> Health:
        """How it is now."""


class EngineService(Service):
    """A model behind a line before an engine of ours, which takes ids."""

    def __init__(self, name: str, created: int, line: EngineLine):
        super().__init__(name, created, line.spec.kind, line.context)
        self.line = line

    @property
    def num_answered(self) -> int:
        return self.line.num_answered

    async def chat(self, asked: ChatRequest) -> Items:
        ids = await self.chat_ids(asked.messages, enable_thinking=asked.enable_thinking)
        return self.line.answer(ids, await self.sampling(asked, len(ids)), asked.stop)

    async def complete(self, asked: CompletionRequest) -> Items:
        ids = await self.prompt_ids(asked.prompt)
        return self.line.answer(ids, await self.sampling(asked, len(ids)), asked.stop)

    async def tokenize(self, asked: TokenizeRequest) -> list[int]:
        if asked.messages is None:
            return await self.text_ids(asked.prompt or "")
        return await self.chat_ids(
            asked.messages,
            enable_thinking=asked.enable_thinking,
            open_answer=asked.add_generation_prompt,
        )

    async def health(self) -> Health:
        line = self.line
        line.restart()
        return Health(line.is_alive, "starting", line.turns.num_running, line.turns.num_waiting)

    async def chat_ids(
        self, messages: Sequence[ChatMessage], *, enable_thinking: bool, open_answer: bool = True
    ) -> list[int]:
        """Ids of a conversation; whatever its content says, it opens and closes no turn.

        Raises:
            InputError: the model was not made for chat.
            EngineError: the engine is dead and cannot be started.
        """
        tokenizer = EngineTokenizer(await self.line.engine())
        encoded = await asyncio.to_thread(
            encode_chat,
            tokenizer,
            [message.as_message() for message in messages],
            open_answer=open_answer,
            enable_thinking=enable_thinking,
        )
        return encoded.ids

    async def text_ids(self, text: str) -> list[int]:
        """Ids of a text as content: no control token is read into it."""
        tokenizer = EngineTokenizer(await self.line.engine())
        return await asyncio.to_thread(tokenizer.encode, text)

    async def prompt_ids(self, prompt: str | list[int]) -> list[int]:
        """Ids to go on from: a text as the beginning of a document, or ids as they are.

        Raises:
            ApiError: an id outside the vocabulary, or nothing at all.
        """
        engine = await self.line.engine()
        if isinstance(prompt, str):
            start = document_start(engine.control_tokens)
            before = [] if start is None else [start]
            ids = [*before, *await self.text_ids(prompt)]
        else:
            ids = prompt
        if not ids:
            raise ApiError("prompt: is empty", param="prompt")
        if not 0 <= min(ids) <= max(ids) < engine.vocab_size:
            size = engine.vocab_size
            raise ApiError(f"prompt: an id outside the vocabulary of {size}", param="prompt")
        return ids

    async def sampling(self, asked: Generation, num_prompt: int) -> Sampling:
        """How the answer is drawn: what is asked for over the preset's values over our own.

        Raises:
            ApiError: the prompt fills the context, or more is asked for than the context holds.
        """
        engine, max_tokens = await self.line.engine(), asked.limit
        room = engine.context - num_prompt
        if room < 1 or (max_tokens or 1) > engine.context:
            raise ApiError(
                f"{num_prompt} tokens of prompt and {max_tokens or 1} to generate do not fit the "
                f"context of {engine.context}",
                param="messages" if room < 1 else "max_tokens",
                code="context_length_exceeded",
            )
        seed = secrets.randbelow(2**32) if asked.seed is None else asked.seed % 2**32
        return Sampling(
            max_tokens=min(max_tokens or room, room),
            seed=seed,
            stop_ids=answer_stops(engine.control_tokens),
            logprobs=False,
            **asked.choices,
        )
