"""The model that is served: its name, the line before its engine, and how a request becomes ids."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from dilmac.engines import EngineTokenizer, Sampling, answer_stops, with_preset
from dilmac.serve.api.errors import ApiError
from dilmac.serve.api.requests import ChatMessage, Generation
from dilmac.serve.line import EngineLine
from dilmac.tokenizer import document_start, encode_chat


@dataclass(frozen=True)
class Service:
    """One model behind one line. `created` is when it was started [seconds since 1970]."""

    name: str
    created: int
    line: EngineLine

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

    async def sampling(
        self, asked: Generation, max_tokens: int | None, num_prompt: int
    ) -> Sampling:
        """How the answer is drawn: what is asked for over the preset's values over our own.

        Raises:
            ApiError: the prompt fills the context, or more is asked for than the context holds.
        """
        engine = await self.line.engine()
        room = engine.context - num_prompt
        if room < 1 or (max_tokens or 1) > engine.context:
            raise ApiError(
                f"{num_prompt} tokens of prompt and {max_tokens or 1} to generate do not fit the "
                f"context of {engine.context}",
                param="messages" if room < 1 else "max_tokens",
                code="context_length_exceeded",
            )
        names = ("temperature", "top_p", "top_k")
        given = {name: value for name in names if (value := getattr(asked, name)) is not None}
        seed = secrets.randbelow(2**32) if asked.seed is None else asked.seed % 2**32
        return Sampling(
            max_tokens=min(max_tokens or room, room),
            seed=seed,
            stop_ids=answer_stops(engine.control_tokens),
            **with_preset(asked.preset, given),
        )
