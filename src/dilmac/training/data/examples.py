"""What a record of fine-tuning data becomes: one type for each thing that can be learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from dilmac.models import UNKNOWN
from dilmac.tokenizer import Message


@dataclass(frozen=True, kw_only=True)
class Example(ABC):
    """What every example has.

    where: file and line, or file and row of a table, from 1.
    id: the record's own; empty where it has none.
    license: as its record states it.
    """

    NAME: ClassVar[str] = "examples"
    where: str
    id: str = ""
    license: str = UNKNOWN

    @property
    @abstractmethod
    def question(self) -> str:
        """What the model is given, without system turns: the same for all takes them in."""

    @property
    @abstractmethod
    def answer(self) -> str:
        """What is learned."""

    @property
    def key(self) -> str:
        """What decides its side of a split: its id, or the question where it has none."""
        return self.id or self.question


@dataclass(frozen=True, kw_only=True)
class Conversation(Example):
    """Turns of system (only the first), user and assistant; every assistant turn is learned."""

    NAME = "conversations"
    messages: tuple[Message, ...]

    @property
    def question(self) -> str:
        return _said(self.messages[:-1])

    @property
    def answer(self) -> str:
        return self.messages[-1].content


@dataclass(frozen=True, kw_only=True)
class Preference(Example):
    """A conversation up to a user's turn, the answer that is preferred, and one that is not."""

    NAME = "preference pairs"
    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message

    @property
    def question(self) -> str:
        return _said(self.prompt)

    @property
    def answer(self) -> str:
        return f"{self.chosen.content}\n{self.rejected.content}"


@dataclass(frozen=True, kw_only=True)
class Labeled(Example):
    """A text and its class."""

    NAME = "labeled texts"
    text: str
    label: str | int

    @property
    def question(self) -> str:
        return self.text

    @property
    def answer(self) -> str:
        return str(self.label)


@dataclass(frozen=True)
class Reject:
    """An example that is left out: where it stands, why, and what was found there."""

    where: str
    reason: str
    found: str = ""


def _said(messages: tuple[Message, ...]) -> str:
    return "\n\n".join(turn.content for turn in messages if turn.role != "system")
