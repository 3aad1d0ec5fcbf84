"""A conversation with a model: history in, streamed text out, whatever happens to the engine."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dilmac.core import EngineError, InputError
from dilmac.engines import Piece
from dilmac.serve.chat.voice import Voice, open_voice
from dilmac.serve.config import ChatConfig
from dilmac.tokenizer import Message


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
    """Holds the history and the voice that answers, which is opened when it is needed.

    `system` is the system message from now on, the config's at first.
    """

    config: ChatConfig
    history: list[Message] = field(default_factory=list)
    last: Speed = field(default_factory=Speed)
    num_turns: int = 0
    system: str = ""
    _voice: Voice | None = None

    def __post_init__(self) -> None:
        self.system = self.system or self.config.system

    @property
    def voice(self) -> Voice:
        """What answers.

        Raises:
            InputError: settings of the answers that do not fit each other, or the engine.
            EngineError: the engine cannot be started, or the upstream not be reached.
        """
        if self._voice is None:
            self._voice = open_voice(self.config)
        return self._voice

    def ask(self, text: str) -> Generator[str, None, None]:
        """Pieces of the answer as they come. A turn whose engine died is not remembered.

        What the model thinks before it answers comes first, and an empty line after it; `history`
        keeps it apart. Closing the iterator early, or Ctrl-C, cancels the answer and remembers
        what came of it.

        Raises:
            EngineError: the engine died, and the next call starts it again; or the upstream failed.
            InputError: the message alone is longer than the context, or is refused.
        """
        turn = [*self.history, Message("user", text)]
        said = {True: "", False: ""}
        try:
            for piece in self._answer(turn):
                if said[True] and not said[False] and not piece.is_reasoning:
                    yield "\n\n"
                said[piece.is_reasoning] += piece.text
                yield piece.text
        except (EngineError, InputError):
            raise
        except (GeneratorExit, KeyboardInterrupt):
            self._remember(turn, said)
            raise
        self._remember(turn, said)

    def _remember(self, turn: list[Message], said: dict[bool, str]) -> None:
        self.history = [*turn, Message("assistant", said[False], said[True] or None)]
        self.num_turns += 1

    def _answer(self, turn: list[Message]) -> Iterator[Piece]:
        sampling = self.config.sampling(self.num_turns)
        answer = self.voice.answer(self._system_turn(), turn, sampling)
        self.last = Speed()
        started = time.monotonic()
        for piece in answer:
            self.last.tokens, self.last.seconds = answer.num_tokens, time.monotonic() - started
            yield piece
        self.last = Speed(answer.num_tokens, time.monotonic() - started, answer.finish_reason)

    def _system_turn(self) -> list[Message]:
        return [Message("system", self.system)] if self.system else []

    def reset(self) -> None:
        """Forget the conversation."""
        self.history = []

    def save(self, path: Path) -> None:
        """Write the conversation as one record of JSONL, which `dilmac finetune` reads.

        Raises:
            InputError: the file is there already, or cannot be written.
        """
        turns = [*self._system_turn(), *self.history]
        record = {"messages": [_record(message) for message in turns]}
        try:
            with path.expanduser().open("x", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        except FileExistsError:
            raise InputError("is there already", where=path, mend="choose another name") from None
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", where=path) from error

    def close(self) -> None:
        """End what answers."""
        if self._voice is not None:
            self._voice.close()
            self._voice = None


def _record(message: Message) -> dict[str, str]:
    """A turn in the form of OpenAI's messages."""
    record = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        record["reasoning_content"] = message.reasoning
    return record
