"""The far side of an engine: the child process. Started by `Engine`, never by hand.

It ends when its connection closes, so no engine outlives the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import sys
import threading
from typing import Any

from dilmac.core import DilmacError
from dilmac.engines.interface import KEY_VARIABLE, READING, Backend, EngineSpec, Sampling, Token
from dilmac.models import require_model_folder

# Tokens that come sooner than this after the last ones wait, and go together: each waking of the
# other process takes a core from the model (dilmac-mini makes 6 tokens in this time) [s].
PAUSE_SECONDS = 0.01
STREAMED = ("token", READING)


class Outbox:
    """Sends messages from a thread of its own, in order."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._is_urgent = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, message: dict[str, Any]) -> None:
        self._lines.put(json.dumps(message).encode() + b"\n")
        if message["event"] not in STREAMED:
            self._is_urgent.set()

    def close(self) -> None:
        """Send what is left."""
        self._lines.put(None)
        self._is_urgent.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the other side is gone, and this process soon
            while True:
                lines = [self._lines.get()]
                with contextlib.suppress(queue.Empty):
                    while True:
                        lines.append(self._lines.get_nowait())
                self._connection.sendall(b"".join(line for line in lines if line))
                if None in lines:
                    return
                self._is_urgent.wait(PAUSE_SECONDS)
                self._is_urgent.clear()


class Worker:
    """Reads requests from the socket, answers each from a thread of its own."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.outbox = Outbox(connection)
        self.cancelled: dict[int, threading.Event] = {}

    def send(self, **message: Any) -> None:
        self.outbox.put(message)

    def serve(self, backend: Backend) -> None:
        self.send(event="ready", **backend.facts())
        for line in self.connection.makefile("r", encoding="utf-8"):
            message = json.loads(line)
            if message["op"] == "cancel":
                if flag := self.cancelled.get(message["id"]):
                    flag.set()
                continue
            self.cancelled[message["id"]] = threading.Event()
            threading.Thread(target=self._answer, args=(backend, message), daemon=True).start()

    def _answer(self, backend: Backend, message: dict[str, Any]) -> None:
        request = message["id"]
        try:
            if message["op"] == "generate":
                self._generate(backend, message)
            else:
                self.send(event="result", id=request, result=_call(backend, message))
        except DilmacError as error:
            self.send(event="error", id=request, message=error.found, mend=error.mend)
        except Exception as error:  # the process must go on for the other requests
            self.send(event="error", id=request, message=f"{type(error).__name__}: {error}")
        finally:
            self.cancelled.pop(request, None)

    def _generate(self, backend: Backend, message: dict[str, Any]) -> None:
        request = message["id"]
        is_cancelled = self.cancelled[request].is_set
        sampling = Sampling(**message["sampling"])
        for item in backend.generate(message["prompt"], sampling, is_cancelled):
            if isinstance(item, Token):
                self.send(event="token", id=request, token=item.id, logprob=item.logprob)
            elif item == READING:
                self.send(event=READING, id=request)
            else:
                self.send(event="done", id=request, reason=item)


def _call(backend: Backend, message: dict[str, Any]) -> Any:
    match message["op"]:
        case "tokenize":
            return backend.tokenize(message["texts"])
        case "detokenize":
            return backend.detokenize(message["ids"])
        case "score":
            return backend.score(message["ids"], message["top"])
        case "logprobs":
            return backend.logprobs(message["rows"])
    raise DilmacError(f"unknown operation {message['op']!r}")


def load(spec: EngineSpec) -> Backend:
    """The backend of a spec, with its model loaded."""
    if spec.kind == "transformers":
        require_model_folder(spec.model)  # what is refused need not wait for torch, 8 s
    if spec.kind == "llamacpp":
        from dilmac.engines.llamacpp import LlamaCpp

        return LlamaCpp(spec)
    if spec.kind == "onnx":
        from dilmac.engines.onnx import Onnx

        return Onnx(spec)
    from dilmac.engines.transformers import Transformers

    return Transformers(spec)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
    key = os.environ.pop(KEY_VARIABLE)
    spec = EngineSpec.model_validate_json(sys.stdin.readline())
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    connection.sendall(key.encode())
    worker = Worker(connection)
    try:
        backend = load(spec)
    except DilmacError as error:
        worker.send(event="error", id=0, where=error.where, message=error.found, mend=error.mend)
        worker.outbox.close()
        return
    with contextlib.suppress(OSError):  # the other side is gone
        worker.serve(backend)
    os._exit(0)  # threads of an engine need not be waited for


if __name__ == "__main__":
    main()
