"""A conversation: remembered turns, a context that overflows, an engine that dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dilmac.core import EngineError, InputError
from dilmac.serve import ChatConfig, ChatSession


@pytest.fixture
def session(tiny_gguf: Path) -> Iterator[ChatSession]:
    talk = ChatSession(ChatConfig(model=tiny_gguf, max_tokens=12, temperature=1.0))
    yield talk
    talk.close()


def test_turns_are_remembered_and_forgotten(session: ChatSession) -> None:
    answers = ["".join(session.ask(text)) for text in ("Merhaba!", "Nasılsın?")]
    assert [message.content for message in session.history] == [
        "Merhaba!",
        answers[0],
        "Nasılsın?",
        answers[1],
    ]
    assert session.last.tokens <= 12 and session.last.finish_reason in ("stop", "length")
    session.reset()
    assert session.history == []


def test_the_oldest_turns_give_way_to_new_ones(session: ChatSession) -> None:
    for number in range(8):
        assert isinstance("".join(session.ask(f"Bu {number}. uzunca bir iletidir.")), str)
    assert len(session.history) == 16


def test_a_message_larger_than_the_context_is_refused(session: ChatSession) -> None:
    with pytest.raises(InputError, match="write a shorter one"):
        list(session.ask("çok uzun bir ileti " * 100))
    assert session.history == []
    assert isinstance("".join(session.ask("Kısa.")), str)


def test_a_dead_engine_is_started_again(session: ChatSession) -> None:
    "".join(session.ask("Merhaba!"))
    first = session.engine.pid
    os.kill(first, signal.SIGSTOP)
    answer = session.ask("Orada mısın?")
    os.kill(first, signal.SIGKILL)
    with pytest.raises(EngineError):
        list(answer)
    assert len(session.history) == 2
    assert isinstance("".join(session.ask("Peki şimdi?")), str)
    assert session.engine.pid != first and len(session.history) == 4


def test_a_closed_answer_is_cancelled_and_remembered(session: ChatSession) -> None:
    answer = session.ask("Anlat.")
    piece = next(answer)
    answer.close()
    assert session.history[-1].content == piece
    assert isinstance("".join(session.ask("Devam.")), str)
