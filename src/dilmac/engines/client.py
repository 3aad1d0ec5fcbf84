"""The near side of an engine: starts the process, speaks to it, and survives its death."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import queue
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from dilmac.core import EngineError
from dilmac.engines.interface import (
    KEY_VARIABLE,
    READING,
    EngineSpec,
    Sampling,
    Token,
    require_beams,
)
from dilmac.tokenizer import require_characters

START_SECONDS = 600.0  # a large model is read from a slow disk
SILENCE_SECONDS = 120.0  # without a token or an answer, an engine counts as hung

Message = dict[str, Any]
_CLOSED: Message = {"event": "closed"}


class Engine:
    """A running engine. Use it as a context manager, or `close` it.

    >>> with Engine(EngineSpec(kind="llamacpp", model=path)) as engine:
    ...     for token in engine.generate(ids, Sampling()):
    ...         print(token.id)
    """

    def __init__(self, spec: EngineSpec, *, silence_seconds: float = SILENCE_SECONDS):
        """Start the process and wait until it has loaded the model.

        Raises:
            EngineError: it died or did not become ready; the message holds its last words.
        """
        self.spec = spec
        self.silence_seconds = silence_seconds
        self._requests: dict[int, queue.SimpleQueue[Message]] = {}
        self._lock = threading.Lock()
        self._next_id = 0
        self._is_closed = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        key = secrets.token_hex(32)
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._process = self._spawn(server.getsockname()[1], key)
            try:
                self._socket = self._accept(server, key)
            except BaseException:
                self._process.kill()
                raise
        self._reader = self._socket.makefile("r", encoding="utf-8")
        ready = self._first_message()
        self.context = int(ready["context"])
        self.vocab_size = int(ready["vocab_size"])
        self.control_tokens: dict[str, int] = ready["control"]
        threading.Thread(target=self._dispatch, daemon=True).start()

    def _spawn(self, port: int, key: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dilmac.engines.worker", str(port)]
        environment = {**os.environ, KEY_VARIABLE: key, "TOKENIZERS_PARALLELISM": "false"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            env=environment,
        )
        if process.stdin is None:
            raise AssertionError("the engine process has no standard input")
        process.stdin.write(self.spec.model_dump_json().encode() + b"\n")
        process.stdin.close()
        return process

    def _accept(self, server: socket.socket, key: str) -> socket.socket:
        server.settimeout(0.2)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                connection, _ = server.accept()
            except TimeoutError:
                if self._process.poll() is not None:
                    raise self._dead("died while it started") from None
                continue
            connection.settimeout(5)
            offered = b""
            with contextlib.suppress(OSError):  # silent, or gone again
                offered = connection.recv(len(key))
            if hmac.compare_digest(offered, key.encode()):
                connection.settimeout(START_SECONDS)
                return connection
            connection.close()  # not our child: some other local process tried the port
        raise self._dead(f"was not ready after {START_SECONDS:.0f} s")

    def _first_message(self) -> Message:
        try:
            line = self._reader.readline()
        except TimeoutError:
            self._process.kill()
            raise self._dead(f"was not ready after {START_SECONDS:.0f} s") from None
        self._socket.settimeout(None)
        if not line:
            self._process.wait(timeout=5)
            raise self._dead("died while it loaded the model")
        message: Message = json.loads(line)
        if message["event"] == "error":
            self.close()
            where = message.get("where") or self.spec.model
            raise EngineError(message["message"], where=where, mend=message.get("mend"))
        return message

    def _dispatch(self) -> None:
        try:
            for line in self._reader:
                message = json.loads(line)
                with self._lock:
                    waiting = self._requests.get(message["id"])
                if waiting:
                    waiting.put(message)
        except (OSError, ValueError):
            pass  # the connection broke; everybody who waits is told below
        with self._lock:
            self._is_closed = True
            for waiting in self._requests.values():
                waiting.put(_CLOSED)

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def generate(self, prompt: list[int], sampling: Sampling) -> Completion:
        """Begin to answer; iterate over the result for tokens.

        Raises:
            InputError: a beam search, which only transformers has.
            EngineError: the engine is dead.
        """
        require_beams(self.spec.kind, sampling)
        request = self._send("generate", prompt=prompt, sampling=sampling.model_dump())
        return Completion(self, request)

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Ids of texts as the engine itself encodes content.

        Raises:
            InputError: a text holds a lone surrogate, which is no character.
            EngineError: the engine is dead.
        """
        for text in texts:
            require_characters(text)
        ids: list[list[int]] = self._ask("tokenize", texts=texts)
        return ids

    def detokenize(self, ids: list[int]) -> str:
        """Text of ids, control tokens left out."""
        return str(self._ask("detokenize", ids=ids))

    def score(self, ids: list[int], top: int) -> list[list[tuple[int, float]]]:
        """Teacher-forced log-probabilities, see `Backend.score`."""
        return [
            [(int(i), float(p)) for i, p in row] for row in self._ask("score", ids=ids, top=top)
        ]

    def logprobs(self, rows: list[tuple[list[int], int]]) -> list[list[tuple[float, bool]]]:
        """Log-probabilities of given tokens, see `Backend.logprobs`. One request is one batch."""
        answer = self._ask("logprobs", rows=rows)
        return [[(float(p), bool(is_best)) for p, is_best in row] for row in answer]

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):  # it may be gone already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, op: str, **values: Any) -> int:
        with self._lock:
            self._next_id += 1
            request = self._next_id
            self._requests[request] = queue.SimpleQueue()
            if self._is_closed:  # after everybody was told: nobody will answer
                self._requests[request].put(_CLOSED)
        self._write({"op": op, "id": request, **values})
        return request

    def _write(self, message: Message) -> None:
        try:
            with self._lock:
                self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise self._dead("is not running any more") from None

    def _ask(self, op: str, **values: Any) -> Any:
        request = self._send(op, **values)
        try:
            return self._next(request)["result"]
        finally:
            self._forget(request)

    def _next(self, request: int) -> Message:
        waiting = self._requests[request]
        if waiting.empty() and not self.is_alive:
            raise self._dead("died")
        try:
            message = waiting.get(timeout=self.silence_seconds)
        except queue.Empty:
            raise self._dead(f"was silent for {self.silence_seconds:.0f} s and was ended") from None
        if message["event"] == "closed":
            raise self._dead("died in the middle of an answer")
        if message["event"] == "error":
            raise EngineError(message["message"], mend=message.get("mend"))
        return message

    def _forget(self, request: int) -> None:
        with self._lock:
            self._requests.pop(request, None)

    def _dead(self, how: str) -> EngineError:
        code = self._ended()
        last = self._last_words()
        return EngineError(
            f"the {self.spec.kind} engine {how}"
            + f" (exit code {code})"
            + (f": {last}" if last else ""),
            where=self.spec.model,
            mend="start it again; a model that is too large for the memory ends like this too",
        )

    def _ended(self) -> int:
        """Exit code; a process that lost its connection or hangs is killed, so none is left."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=0.2)  # a crash's own code, where there is one
        self._process.kill()
        return self._process.wait()

    def _last_words(self) -> str:
        if self._log.closed:
            return ""
        try:
            self._log.seek(0)
            lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        except ValueError:  # of several requests that it failed, another one has closed it
            return ""
        return lines[-1][:300] if lines and (self._process.poll() or 0) > 0 else ""


class Completion:
    """An answer in the making: an iterator of tokens.

    `finish_reason` is set when it ended: `stop`, `length` or `cancelled`.
    """

    def __init__(self, engine: Engine, request: int):
        self._engine, self._request = engine, request
        self.finish_reason: str | None = None

    def __iter__(self) -> Iterator[Token]:
        try:
            while self.finish_reason is None:
                message = self._engine._next(self._request)
                if message["event"] == "done":
                    self.finish_reason = message["reason"]
                elif message["event"] != READING:
                    yield Token(id=message["token"], logprob=message["logprob"])
        finally:
            if self.finish_reason is None and self._engine.is_alive:
                with contextlib.suppress(EngineError):  # it died just now: nothing to cancel
                    self.cancel()
            self._engine._forget(self._request)

    def cancel(self) -> None:
        """Tell the engine to stop; the iterator then ends with what is on its way."""
        self._engine._write({"op": "cancel", "id": self._request})
