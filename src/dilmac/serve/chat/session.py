"""A conversation with a model: history in, streamed text out, whatever happens to the engine."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from dilmac.core import EngineError, InputError
from dilmac.engines import Engine, EngineTokenizer
from dilmac.serve.config import ChatConfig
from dilmac.tokenizer import ANSWER_MARKS, Message, encode_chat

# A character whose bytes have not all come yet is decoded as this; it is held back.
_INCOMPLETE = "\ufffd"


@dataclass
class Speed:
    """How an answer came."""

    tokens: int = 0
    seconds: float = 0.0
    finish_reason: str | None = None

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass
class ChatSession:
    """Holds the history and an engine that is started when needed, again after its death."""

    config: ChatConfig
    history: list[Message] = field(default_factory=list)
    last: Speed = field(default_factory=Speed)
    num_turns: int = 0
    _engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The running engine.

        Raises:
            EngineError: it cannot be started.
        """
        if self._engine is not None and not self._engine.is_alive:
            self._engine.close()
            self._engine = None
        if self._engine is None:
            self._engine = Engine(self.config.engine_spec())
        return self._engine

    def ask(self, text: str) -> Generator[str, None, None]:
        """Pieces of the answer as they come. A turn whose engine died is not remembered.

        Closing the iterator early, or Ctrl-C, cancels the answer and remembers what came of it.

        Raises:
            EngineError: the engine died; the next call starts it again.
            InputError: the message alone is longer than the context.
        """
        turn = [*self.history, Message("user", text)]
        answer = ""
        try:
            for piece in self._answer(turn):
                answer += piece
                yield piece
        except (EngineError, InputError):
            raise
        except (GeneratorExit, KeyboardInterrupt):
            self._remember(turn, answer)
            raise
        self._remember(turn, answer)

    def _remember(self, turn: list[Message], answer: str) -> None:
        self.history = [*turn, Message("assistant", answer)]
        self.num_turns += 1

    def _answer(self, turn: list[Message]) -> Iterator[str]:
        engine = self.engine
        ids = self._prompt(turn, engine)
        stop_ids = (row for name, row in engine.control_tokens.items() if name not in ANSWER_MARKS)
        sampling = self.config.sampling(self.num_turns).model_copy(
            update={"stop_ids": tuple(stop_ids)}
        )
        self.last = Speed()
        started = time.monotonic()
        completion = engine.generate(ids, sampling)
        rows: list[int] = []
        shown = ""
        for token in completion:
            rows.append(token.id)
            whole = engine.detokenize(rows).rstrip(_INCOMPLETE)
            self.last.tokens, self.last.seconds = len(rows), time.monotonic() - started
            if len(whole) > len(shown):
                yield whole[len(shown) :]
                shown = whole
        self.last.finish_reason = completion.finish_reason

    def _prompt(self, turn: list[Message], engine: Engine) -> list[int]:
        """Ids of the conversation; the oldest turns are left out where the context is too small."""
        tokenizer = EngineTokenizer(engine)
        system = [Message("system", self.config.system)] if self.config.system else []
        kept = list(turn)
        while True:
            ids = encode_chat(tokenizer, [*system, *kept], open_answer=True).ids
            room = engine.context - len(ids)
            if room >= min(self.config.max_tokens, engine.context // 4):
                return ids
            if len(kept) == 1:
                if room > 0:
                    return ids
                raise InputError(
                    f"the message fills {len(ids)} tokens of a context of {engine.context}",
                    mend="write a shorter one",
                )
            kept = kept[2:]

    def reset(self) -> None:
        """Forget the conversation."""
        self.history = []

    def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
