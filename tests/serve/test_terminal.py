"""`dilmac chat` in a real pseudo-terminal, on both engines."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from killing import run_dilmac

pexpect = pytest.importorskip("pexpect", reason="needs a POSIX pseudo-terminal")

PROMPT = "\r\n> |^> "
SPEED = r"\[\d+ tokens · \d+/s · (stop|length)\]"


@pytest.fixture(params=["transformers", "llamacpp"])
def chat(request: pytest.FixtureRequest, tiny_chat: Path, tiny_gguf: Path) -> Iterator[Any]:
    model = tiny_chat if request.param == "transformers" else tiny_gguf
    flags = ["--model", str(model), "--temperature", "1.2", "--max-tokens", "40"]
    child = pexpect.spawn(
        sys.executable,
        ["-m", "dilmac", "chat", *flags],
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 200),
        env={**os.environ, "TERM": "dumb"},
    )
    child.expect(f"{request.param} · context 128")
    child.expect("> ")
    yield child
    child.close(force=True)


def engine_of(chat: Any) -> psutil.Process:
    return next(iter(psutil.Process(chat.pid).children()))


def test_two_turns_are_streamed_and_the_end_is_clean(chat: Any, tmp_path: Path) -> None:
    for text in ("Merhaba!", "Bugün hava nasıl?"):
        chat.sendline(text)
        chat.expect(SPEED)
        chat.expect("> ")
    chat.sendline(f"/save {tmp_path / 'a.jsonl'}")
    chat.expect("saved: ")
    assert len(json.loads((tmp_path / "a.jsonl").read_text())["messages"]) == 4
    chat.sendline("/system Kısa yaz.")
    chat.expect("system message: Kısa yaz")
    chat.sendline("/reset")
    chat.expect("forgotten")
    chat.sendline("/savee")
    chat.expect("no command /savee")
    chat.sendline("/help")
    chat.expect("Ctrl-D")
    engine = engine_of(chat)
    chat.sendline("/exit")
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0
    assert not engine.is_running()


def test_a_killed_engine_is_said_and_the_next_turn_works(chat: Any) -> None:
    chat.sendline("Merhaba!")
    chat.expect(SPEED)
    engine = engine_of(chat)
    engine.send_signal(signal.SIGSTOP)
    chat.sendline("Bana bir öykü anlat.")
    time.sleep(0.5)
    engine.kill()
    chat.expect("engine died")
    chat.expect("your next message starts the engine again")
    chat.sendline("Tekrar merhaba!")
    chat.expect(SPEED)
    assert "Traceback" not in chat.before


def test_ctrl_c_stops_an_answer_and_ctrl_d_ends(chat: Any) -> None:
    engine = engine_of(chat)
    engine.send_signal(signal.SIGSTOP)
    chat.sendline("Uzun uzun anlat.")
    time.sleep(0.5)
    chat.sendintr()
    chat.expect(r"\[stopped\]")
    engine.send_signal(signal.SIGCONT)
    chat.sendline("Kısa yaz.")
    chat.expect(SPEED)
    chat.expect("> ")
    chat.sendeof()
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0


def test_one_question_as_json(tiny_gguf: Path) -> None:
    flags = ["--model", str(tiny_gguf), "--say", "Merhaba!", "--max-tokens", "8", "--json"]
    ended = run_dilmac("chat", *flags)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert set(figures) == {"answer", "tokens", "tokens_per_second", "finish_reason"}
    assert figures["tokens"] <= 8
