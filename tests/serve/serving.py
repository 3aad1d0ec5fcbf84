"""A real `dilmac serve` on loopback, and ways to talk to it that clients do not offer."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import openai
import psutil

START_SECONDS = 300
JSON = {"Content-Type": "application/json"}


@dataclass
class Served:
    """A running server: its process, its port, and the name of its model."""

    process: subprocess.Popen[bytes]
    port: int
    name: str
    slots: int = 4  # as many as by default

    @cached_property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", max_retries=0
        )

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        raw: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] = JSON,
    ) -> tuple[int, Any]:
        """Status and JSON; a GET without a body."""
        connection = self.connect()
        data = raw if raw is not None else json.dumps(body).encode()
        is_get = body is None and raw is None
        connection.request("GET" if is_get else "POST", path, None if is_get else data, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def begin(self, path: str, body: Any) -> http.client.HTTPConnection:
        """Send a request and wait for nothing; closing the connection hangs up."""
        connection = self.connect()
        connection.request("POST", path, json.dumps({"model": self.name, **body}).encode(), JSON)
        return connection

    def fill(self, path: str, body: Any) -> list[http.client.HTTPConnection]:
        """Begin as many requests as are answered at once."""
        connections = [self.begin(path, body) for _ in range(self.slots)]
        wait_until(lambda: self.health()["running"] == self.slots)
        return connections

    def health(self) -> dict[str, Any]:
        facts: dict[str, Any] = self.ask("/health")[1]
        return facts

    @property
    def engine(self) -> psutil.Process:
        return next(iter(psutil.Process(self.process.pid).children()))


@contextmanager
def served(model: Path, log: Path, *flags: str) -> Iterator[Served]:
    """`dilmac serve --model …` on a free port, until the end of the block."""
    with serving(model.name, log, "--model", str(model), *flags) as running:
        yield running


@contextmanager
def serving(
    name: str, log: Path, *flags: str, environment: dict[str, str] | None = None
) -> Iterator[Served]:
    """`dilmac serve …` on a free port, until the end of the block."""
    command = [sys.executable, "-m", "dilmac", "serve", "--port", "0", *flags]
    env = {**os.environ, **(environment or {})}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=env)
    try:
        wait_until(lambda: "/v1 (this" in log.read_text() or process.poll() is not None)
        found = re.search(r"127\.0\.0\.1:(\d+)/v1 \(this", log.read_text())
        assert found, log.read_text()
        yield Served(process, int(found[1]), name)
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
