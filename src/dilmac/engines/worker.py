"""The far side of an engine: the child process. Started by `Engine`, never by hand.

It ends when its connection closes, so no engine outlives the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from typing import Any

from dilmac.core import DilmacError
from dilmac.engines.interface import KEY_VARIABLE, READING, Backend, EngineSpec, Sampling, Token


class Worker:
    """Reads requests from the socket, answers each from a thread of its own."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.cancelled: dict[int, threading.Event] = {}
        self._write_lock = threading.Lock()

    def send(self, **message: Any) -> None:
        with self._write_lock:
            self.connection.sendall(json.dumps(message).encode() + b"\n")

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
        return
    with contextlib.suppress(OSError):  # the other side is gone
        worker.serve(backend)
    os._exit(0)  # threads of an engine need not be waited for


if __name__ == "__main__":
    main()
