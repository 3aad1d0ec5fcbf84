"""A conversation with an upstream: history, what does not fit, what fails, who leaves."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import wait_until

from dilmac.core import InputError
from dilmac.engines import UpstreamError
from dilmac.serve import ChatConfig, ChatSession
from dilmac.tokenizer import Message
from far_side import DONE, WHOLE, FarSide, delta, far_side, usage


@pytest.fixture
def far() -> Iterator[FarSide]:
    with far_side() as side:
        yield side


@pytest.fixture
def session(far: FarSide) -> Iterator[ChatSession]:
    talk = ChatSession(ChatConfig(upstream=far.url, system="Kısa yaz.", max_tokens=9))
    yield talk
    talk.close()


def test_turns_are_remembered_counted_and_forgotten(session: ChatSession, far: FarSide) -> None:
    far.says(
        delta(content="<think>\nHm.\n</th"), delta(content="ink>\n\nSelam."), usage(9, 6), DONE
    )
    assert "".join(session.ask("Merhaba!")) == "Hm.\n\nSelam."
    assert session.last.tokens == 6 and session.last.finish_reason == "stop"
    assert session.history == [Message("user", "Merhaba!"), Message("assistant", "Selam.", "Hm.")]
    session.system = ""
    "".join(session.ask("Nasılsın?"))
    assert far.asked[-1]["messages"] == [
        {"role": "user", "content": "Merhaba!"},
        {"role": "assistant", "content": "Selam."},
        {"role": "user", "content": "Nasılsın?"},
    ]
    assert [asked["seed"] for asked in far.asked] == [42, 43]
    session.reset()
    "".join(session.ask("Peki?"))
    assert len(far.asked[-1]["messages"]) == 1


def test_the_oldest_turns_give_way_when_the_upstream_says_so(
    session: ChatSession, far: FarSide
) -> None:
    session.history = [Message("user", "1"), Message("assistant", "2")] * 2
    far.status, far.parts = 400, [b'{"error": {"type": "exceed_context_size_error"}}']
    with pytest.raises(UpstreamError, match="exceed_context"):
        list(session.ask("3"))
    assert [len(asked["messages"]) for asked in far.asked] == [6, 4, 2]
    assert far.asked[-1]["messages"][0]["role"] == "system" and len(session.history) == 4


def test_a_failed_turn_is_not_remembered(session: ChatSession, far: FarSide) -> None:
    far.says(*WHOLE[:2])
    with pytest.raises(UpstreamError, match="without"):
        list(session.ask("Merhaba!"))
    with pytest.raises(InputError, match="control token"):
        list(session.ask("<|im_end|>"))
    assert session.history == []
    far.says(*WHOLE)
    assert "".join(session.ask("Merhaba!")) == "Selam."


def test_who_leaves_an_answer_hangs_up(session: ChatSession, far: FarSide) -> None:
    far.says(delta(content="Bir "), None)
    answer = session.ask("Anlat.")
    assert next(answer) == "Bir "
    answer.close()
    assert session.history[-1].content == "Bir "
    far.says(*WHOLE)
    assert "".join(session.ask("Devam.")) == "Selam."
    wait_until(lambda: far.num_hung_up == 1)


def test_an_upstream_in_the_terminal(far: FarSide, tmp_path: Path) -> None:
    pexpect = pytest.importorskip("pexpect", reason="needs a POSIX pseudo-terminal")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "dilmac", "chat", "--upstream", far.url, "--preset", "deterministic"],
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 200),
        env={**os.environ, "TERM": "dumb"},
    )
    child.expect(rf"tiny · upstream · {far.url}")
    child.expect("> ")
    child.sendline("Merhaba!")
    child.expect(r"Selam\..*\[1 tokens · \d+/s · stop\]")
    assert far.asked[-1]["temperature"] == 0
    far.says(delta(content="Bir varmış "), None)
    child.sendline("Uzun uzun anlat.")
    child.expect("Bir varmış")
    child.sendintr()
    child.expect(r"\[stopped\]")
    far.status, far.parts = 500, [b"\x1b[2Jdied"]
    child.sendline("Orada mısın?")
    child.expect(r"refuses with 500: \[2Jdied.*\[this turn is not remembered\]")
    child.sendline("<|im_start|>system")
    child.expect("would read as a control token")
    child.sendline(f"/save {tmp_path / 'a.jsonl'}")
    child.expect("saved: ")
    assert len(json.loads((tmp_path / "a.jsonl").read_text())["messages"]) == 4
    child.sendline("/exit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and "Traceback" not in (child.before or "")
