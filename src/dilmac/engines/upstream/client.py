"""The near side of an upstream: conversations and texts go there, pieces of an answer come back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dilmac.engines.interface import Sampling
from dilmac.engines.pieces import Piece
from dilmac.engines.upstream.connection import Connection
from dilmac.engines.upstream.content import require_plain, require_plain_messages
from dilmac.engines.upstream.errors import UpstreamError
from dilmac.engines.upstream.spec import UpstreamSpec
from dilmac.engines.upstream.thoughts import ThoughtSplitter
from dilmac.tokenizer import Message

MODELS = "/models"
LOOK_SECONDS = 10.0  # for a look at whether it is there
MAX_NAMES = 20  # that an error lists
_NO_LIST = (404, 405, 501)  # a server without a list of models
# Why an answer ended, as other servers call it; what is not here is an ordinary end.
_REASONS = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}
_BROKEN_OFF = ("abort", "error")  # vLLM, SGLang


@dataclass(frozen=True)
class UpstreamModel:
    """A model of an upstream; its context [tokens] where the upstream tells it, as vLLM does."""

    name: str
    context: int | None


async def find_model(spec: UpstreamSpec) -> UpstreamModel:
    """The model that is meant: the one that is named, or the only one that is listed.

    A name that is not listed is believed: Ollama and gateways answer to more names than they list.

    Raises:
        UpstreamError: the upstream cannot be reached, or lists none or several and none is named.
    """
    async with Connection(spec) as connection:
        try:
            listed = _listed(await connection.get(MODELS, seconds=LOOK_SECONDS), spec.url)
        except UpstreamError as error:
            if spec.model is None or error.status not in _NO_LIST:
                raise
            listed = {}
    if spec.model is not None:
        return UpstreamModel(spec.model, listed.get(spec.model))
    if len(listed) == 1:
        return UpstreamModel(*next(iter(listed.items())))
    names = ", ".join(list(listed)[:MAX_NAMES]) or "none"
    more = ", …" if len(listed) > MAX_NAMES else ""
    raise UpstreamError(
        f"lists {len(listed)} models: {names}{more}",
        where=spec.url,
        mend="name one of them by --upstream-model" if listed else "load a model there",
    )


def _listed(answer: Any, where: str) -> dict[str, int | None]:
    entries = answer.get("data", "") if isinstance(answer, dict) else ""
    if entries is None:  # Ollama without a model
        entries = []
    if not isinstance(entries, list):
        raise UpstreamError(f"its {MODELS} holds no list of models", where=where)
    models = [entry for entry in entries if isinstance(entry, dict)]
    return {
        name: context if type(context := entry.get("max_model_len")) is int else None
        for entry in models
        if isinstance(name := entry.get("id"), str) and name.isprintable() and len(name) < 256
    }


class Upstream(Connection):
    """A model of an upstream. Use it as an asynchronous context manager.

    >>> async with Upstream(spec, model.name) as upstream:
    ...     answer = upstream.chat([Message("user", "Merhaba!")], Sampling())
    ...     async with contextlib.aclosing(answer.pieces()) as pieces:
    ...         async for piece in pieces:
    ...             print(piece.text)
    """

    def __init__(self, spec: UpstreamSpec, model: str):
        super().__init__(spec)
        self.model = model

    async def is_there(self) -> bool:
        """Whether it can be reached now."""
        try:
            await self.get(MODELS, seconds=LOOK_SECONDS)
        except UpstreamError as error:
            return error.status in _NO_LIST
        return True

    def chat(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        stop: tuple[str, ...] = (),
        *,
        enable_thinking: bool = True,
    ) -> UpstreamAnswer:
        """The assistant's next turn. What was thought before earlier answers is not sent: ChatML
        with thoughts, as in Qwen3, leaves it out too.

        Raises:
            InputError: a message holds a control string.
        """
        require_plain_messages(messages)
        turns = [{"role": message.role, "content": message.content} for message in messages]
        # As vLLM, SGLang and llama-server take it.
        template = {} if enable_thinking else {"chat_template_kwargs": {"enable_thinking": False}}
        return self._answer("/chat/completions", sampling, stop, {"messages": turns, **template})

    def complete(
        self, prompt: str, sampling: Sampling, stop: tuple[str, ...] = ()
    ) -> UpstreamAnswer:
        """How a text goes on.

        Raises:
            InputError: it holds a control string.
        """
        require_plain(prompt, "prompt")
        return self._answer("/completions", sampling, stop, {"prompt": prompt})

    def _answer(
        self, path: str, sampling: Sampling, stop: tuple[str, ...], asked: dict[str, Any]
    ) -> UpstreamAnswer:
        body = {
            "model": self.model,
            **asked,
            **_settings(sampling),
            **({"stop": list(stop)} if stop else {}),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return UpstreamAnswer(self.events(path, body), self.spec.url)


def _settings(sampling: Sampling) -> dict[str, Any]:
    """What was set; the rest is the upstream's to choose. `top_k` and `repetition_penalty` are not
    OpenAI's, so our defaults are not sent either: a strict server would refuse them."""
    names = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed")
    given = {name: getattr(sampling, name) for name in names if name in sampling.model_fields_set}
    ours = {name: Sampling.model_fields[name].default for name in ("top_k", "repetition_penalty")}
    return {name: value for name, value in given.items() if value != ours.get(name)}


class UpstreamAnswer:
    """An answer of an upstream. `pieces` can be taken once.

    `num_prompt` and `num_tokens` are as the upstream counts, at the end; until then, and where it
    counts nothing, they are None and the number of events with text. `finish_reason` is set at the
    end: `stop`, `length` or `content_filter`.
    """

    def __init__(self, events: AsyncGenerator[dict[str, Any], None], where: str):
        self.num_prompt: int | None = None
        self.num_tokens = 0
        self.finish_reason: str | None = None
        self._events, self._where = events, where
        self._splitter = ThoughtSplitter()

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Pieces as they come. Closing it hangs up, which cancels the answer.

        Raises:
            UpstreamError: it cannot be had, or not to its end.
        """
        reason, usage = None, None
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                usage = event.get("usage") or usage
                choice = self._choice(event)
                reason = choice.get("finish_reason") or reason
                for piece in self._pieces_of(choice):
                    yield piece
        for piece in self._splitter.rest():
            yield piece
        if reason in _BROKEN_OFF:
            raise UpstreamError(f"broke the answer off ({reason})", where=self._where)
        self._count(usage)
        self.finish_reason = _REASONS.get(str(reason), "stop")

    def _choice(self, event: dict[str, Any]) -> dict[str, Any]:
        """The first choice of an event; nothing in one that only counts."""
        choices = event.get("choices")
        if choices in (None, []):
            return {}
        if isinstance(choices, list) and isinstance(choices[0], dict):
            return choices[0]
        raise UpstreamError("sent an event whose choices are none", where=self._where)

    def _pieces_of(self, choice: dict[str, Any]) -> Iterator[Piece]:
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict):
            raise UpstreamError("sent an event whose delta is no object", where=self._where)
        # vLLM, SGLang, llama-server and dilmac; newer vLLM and Ollama.
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        text = delta.get("content") or choice.get("text") or ""
        if not isinstance(thought, str) or not isinstance(text, str):
            raise UpstreamError("sent an event whose content is no text", where=self._where)
        self.num_tokens += bool(thought or text)
        if thought:
            yield Piece(thought, is_reasoning=True)
        if text:
            yield from self._splitter.pieces_with(text)

    def _count(self, usage: Any) -> None:
        counts = usage if isinstance(usage, dict) else {}
        prompt, answer = counts.get("prompt_tokens"), counts.get("completion_tokens")
        if type(prompt) is int and type(answer) is int and min(prompt, answer) >= 0:
            self.num_prompt, self.num_tokens = prompt, answer
