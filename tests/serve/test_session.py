"""A conversation: remembered turns, a context that overflows, an engine that dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dilmac.cli import app
from dilmac.core import EngineError, InputError
from dilmac.engines import Engine
from dilmac.serve import ChatConfig, ChatSession
from dilmac.serve.chat.voice import EngineVoice
from dilmac.tokenizer import Message
from dilmac.training.data.read import read_instructions


@pytest.fixture
def session(tiny_gguf: Path) -> Iterator[ChatSession]:
    talk = ChatSession(ChatConfig(model=tiny_gguf, max_tokens=12, temperature=1.0))
    yield talk
    talk.close()


def voice_of(session: ChatSession) -> EngineVoice:
    assert isinstance(session.voice, EngineVoice)
    return session.voice


def engine_of(session: ChatSession) -> Engine:
    return voice_of(session).engine


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
    first = engine_of(session).pid
    os.kill(first, signal.SIGSTOP)
    answer = session.ask("Orada mısın?")
    os.kill(first, signal.SIGKILL)
    with pytest.raises(EngineError):
        list(answer)
    assert len(session.history) == 2
    assert isinstance("".join(session.ask("Peki şimdi?")), str)
    assert engine_of(session).pid != first and len(session.history) == 4


def test_a_closed_answer_is_cancelled_and_remembered(session: ChatSession) -> None:
    answer = session.ask("Anlat.")
    piece = next(answer)
    answer.close()
    assert session.history[-1].content == piece
    assert isinstance("".join(session.ask("Devam.")), str)


def test_a_conversation_is_saved_as_finetune_reads_it(tmp_path: Path) -> None:
    talk = ChatSession(ChatConfig(model=tmp_path, system="Kısa yaz."))
    talk.history = [
        Message("user", "Merhaba!"),
        Message("assistant", "Selam.", "Biri selam verdi."),
    ]
    path = tmp_path / "konuşma.jsonl"
    talk.save(path)
    (example,) = read_instructions(path)
    assert list(example.messages) == [Message("system", "Kısa yaz."), *talk.history]
    for place in (path, tmp_path / "nowhere" / "x.jsonl"):
        with pytest.raises(InputError):
            talk.save(place)


def test_the_system_message_can_change(session: ChatSession) -> None:
    "".join(session.ask("Merhaba!"))
    turn = [Message("user", "Peki?")]
    ids = voice_of(session).prompt(session._system_turn(), turn, 12)
    session.system = "Kısa yaz."
    longer = voice_of(session).prompt(session._system_turn(), turn, 12)
    word = engine_of(session).tokenize(["Kısa yaz."])[0][1]
    assert longer[-len(ids) :] == ids and word in longer


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], (0.7, 40, 0.95)),
        (["--preset", "deterministic"], (0.0, 40, 0.95)),
        (["--preset", "creative"], (0.9, 50, 0.95)),
        (["--preset", "creative", "--temperature", "0.7", "--top-p", "1"], (0.7, 50, 1.0)),
        (["--temperature", "1.5"], (1.5, 40, 0.95)),
    ],
)
def test_flags_win_over_a_preset(flags: list[str], expected: tuple[float, int, float]) -> None:
    _, bound, _ = app.parse_args(["chat", *flags])
    config = bound.arguments.get("config", ChatConfig())
    sampling = config.sampling(0)
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == expected
