"""`dilmac chat`: a conversation in the terminal, streamed, through an engine."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

from dilmac.core import DilmacError, EngineError, Figures, say
from dilmac.engines import UpstreamError
from dilmac.serve.chat.session import ChatSession
from dilmac.serve.config import ChatConfig

HELP = (
    "/reset forgets the conversation · /system TEXT sets the system message, - takes it away · "
    "/save FILE writes the conversation as JSONL\n"
    "/help lists this · /exit or Ctrl-D ends · Ctrl-C stops an answer"
)


def chat(config: ChatConfig) -> Figures:
    """Hold a conversation until its end; with `config.say` a single turn.

    Raises:
        InputError: no model is there, or it was not made for chat.
        EngineError: the engine cannot be started, or the upstream not be reached.
    """
    session = ChatSession(config)
    try:
        if config.say is not None:
            for _ in session.ask(config.say):
                pass
            return {"answer": session.history[-1].content, **_speed(session)}
        return _converse(session)
    finally:
        session.close()


def _converse(session: ChatSession) -> Figures:
    say(f"{session.voice.description}\n{HELP}")
    with contextlib.suppress(ImportError):  # line editing and history where the system has it
        import readline  # noqa: F401
    while (text := _read_line()) is not None:
        line = text.strip()
        if line in ("/exit", "/quit"):
            break
        if line.startswith("/"):
            _command(session, *line.split(maxsplit=1))
        elif line:
            _turn(session, line)
    return {"turns": session.num_turns}


def _command(session: ChatSession, name: str, value: str = "") -> None:
    match name:
        case "/reset":
            session.reset()
            say("the conversation is forgotten")
        case "/system":
            if value:
                session.system = "" if value == "-" else value
            say(f"system message: {session.system}" if session.system else "no system message")
        case "/save":
            _save(session, value)
        case "/help":
            say(HELP)
        case _:
            say(f"there is no command {name}\n{HELP}")


def _save(session: ChatSession, name: str) -> None:
    if not session.history:
        say("nothing was said yet")
        return
    path = Path(name or f"chat-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
    try:
        session.save(path)
        say(f"saved: {path}")
    except DilmacError as error:
        say(str(error))


def _read_line() -> str | None:
    """One line of the person, or None at the end."""
    try:
        return input("> ")
    except (EOFError, KeyboardInterrupt):
        print()  # noqa: T201 (the terminal is this function's business)
        return None
    except UnicodeDecodeError:
        say("this line is not UTF-8; set the terminal to it")
        return ""


def _turn(session: ChatSession, text: str) -> None:
    answer = session.ask(text)
    try:
        for piece in answer:
            sys.stdout.write(piece)
            sys.stdout.flush()
        print()  # noqa: T201
        speed = session.last
        say(f"[{speed.tokens} tokens · {speed.tokens_per_second:.0f}/s · {speed.finish_reason}]")
    except KeyboardInterrupt:
        answer.close()
        say("\n[stopped]")
    except UpstreamError as error:
        say(f"\n{error}\n[this turn is not remembered]")
    except EngineError as error:
        say(f"\n{error}\n[this turn is not remembered; your next message starts the engine again]")
    except DilmacError as error:
        say(f"\n{error}")


def _speed(session: ChatSession) -> Figures:
    return {
        "tokens": session.last.tokens,
        "tokens_per_second": round(session.last.tokens_per_second, 1),
        "finish_reason": session.last.finish_reason,
    }
