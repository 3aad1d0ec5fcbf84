"""Who answers in a conversation: an engine of ours, started again after its death."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from dilmac.core import InputError
from dilmac.engines import (
    Answer,
    Engine,
    EngineTokenizer,
    Piece,
    Sampling,
    answer_stops,
    require_beams,
)
from dilmac.serve.config import ChatConfig
from dilmac.tokenizer import Message, encode_chat


class Spoken(Protocol):
    """An answer: pieces as they come, the tokens so far, and at the end why it ended."""

    num_tokens: int
    finish_reason: str | None

    def __iter__(self) -> Iterator[Piece]: ...


class Voice(Protocol):
    """What answers a conversation. Leaving the iterator of an answer cancels it."""

    @property
    def description(self) -> str:
        """What it is, for the person who talks to it."""
        ...

    def answer(
        self, system: Sequence[Message], turns: Sequence[Message], sampling: Sampling
    ) -> Spoken:
        """The assistant's next turn. Where the context is too small, the oldest of `turns` are
        left out.

        Raises:
            EngineError: it cannot answer now.
            InputError: what was said last cannot be taken.
        """
        ...

    def close(self) -> None:
        """End what it started."""
        ...


def open_voice(config: ChatConfig) -> Voice:
    """The voice that the settings ask for.

    Raises:
        ConfigError: an upstream's address or key is none.
        InputError: there is no such model.
        EngineError: the engine cannot be started, or the upstream not be reached.
    """
    if (spec := config.upstream_spec()) is None:
        return EngineVoice(config)
    from dilmac.serve.chat.upstream_voice import UpstreamVoice  # aiohttp is for this way alone

    return UpstreamVoice(spec)


class EngineVoice:
    """An engine of ours, which is given ids."""

    def __init__(self, config: ChatConfig):
        self._config = config
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The running engine.

        Raises:
            InputError: settings of the answers that do not fit each other, or the engine.
            EngineError: it cannot be started.
        """
        if self._engine is not None and not self._engine.is_alive:
            self._engine.close()
            self._engine = None
        if self._engine is None:
            spec = self._config.engine_spec()
            require_beams(spec.kind, self._config.sampling(0))
            self._engine = Engine(spec)
        return self._engine

    @property
    def description(self) -> str:
        engine = self.engine
        return f"{self._config.model} · {engine.spec.kind} · context {engine.context}"

    def answer(
        self, system: Sequence[Message], turns: Sequence[Message], sampling: Sampling
    ) -> Answer:
        engine = self.engine
        ids = self.prompt(system, turns, sampling.max_tokens)
        stops = {"stop_ids": answer_stops(engine.control_tokens)}
        return Answer(engine, engine.generate(ids, sampling.model_copy(update=stops)))

    def prompt(
        self, system: Sequence[Message], turns: Sequence[Message], max_tokens: int
    ) -> list[int]:
        """Ids of the conversation; the oldest turns are left out where the context is too small.

        Raises:
            InputError: the last message alone is longer than the context.
        """
        engine = self.engine
        tokenizer = EngineTokenizer(engine)
        kept = list(turns)
        while True:
            ids = encode_chat(tokenizer, [*system, *kept], open_answer=True).ids
            room = engine.context - len(ids)
            if room >= min(max_tokens, engine.context // 4):
                return ids
            if len(kept) == 1:
                if room > 0:
                    return ids
                raise InputError(
                    f"the message fills {len(ids)} tokens of a context of {engine.context}",
                    mend="write a shorter one",
                )
            kept = kept[2:]

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
