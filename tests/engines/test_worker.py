"""How messages of an engine leave its process: in order, all of them, and few at a time."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dilmac.core import InputError
from dilmac.engines import EngineSpec, worker
from dilmac.engines.worker import Outbox, load


class Connection:
    """Holds the first message back until it is told; keeps what was sent together."""

    def __init__(self) -> None:
        self.sent: list[list[dict[str, Any]]] = []
        self.may_go = threading.Event()

    def sendall(self, data: bytes) -> None:
        self.sent.append([json.loads(line) for line in data.splitlines()])
        assert self.may_go.wait(30)


def token(number: int) -> dict[str, Any]:
    return {"event": "token", "id": 1, "token": number}


def test_what_comes_while_another_message_is_sent_goes_together() -> None:
    connection = Connection()
    outbox = Outbox(connection)  # type: ignore[arg-type]
    outbox.put(token(0))
    while not connection.sent:
        time.sleep(0.01)
    for number in range(1, 100):
        outbox.put(token(number))
    outbox.put({"event": "done", "id": 1, "reason": "stop"})
    connection.may_go.set()
    outbox.close()
    assert [len(messages) for messages in connection.sent if messages] == [1, 100]
    found = [message for messages in connection.sent for message in messages]
    assert found[:-1] == [token(number) for number in range(100)]
    assert found[-1]["event"] == "done"


def test_tokens_wait_for_each_other_and_the_end_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "PAUSE_SECONDS", 3600)
    connection = Connection()
    connection.may_go.set()
    outbox = Outbox(connection)  # type: ignore[arg-type]
    outbox.put(token(0))
    while not connection.sent:
        time.sleep(0.01)
    outbox.put(token(1))
    time.sleep(0.2)
    assert connection.sent == [[token(0)]]
    end = {"event": "done", "id": 1, "reason": "stop"}
    outbox.put(end)
    outbox.close()
    assert [messages for messages in connection.sent if messages] == [[token(0)], [token(1), end]]


def test_every_message_arrives_in_its_order_over_a_real_socket() -> None:
    ours, theirs = socket.socketpair()
    outbox = Outbox(ours)
    got: list[int] = []

    def read() -> None:
        got.extend(json.loads(line)["token"] for line in theirs.makefile("rb"))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(3000):
        outbox.put(token(number))
    outbox.close()
    ours.close()
    reader.join(30)
    assert got == list(range(3000))


def test_who_is_gone_ends_the_sending_and_breaks_nothing() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    outbox = Outbox(ours)
    for number in range(10):
        outbox.put(token(number))
    outbox.close()  # returns
    ours.close()


def test_a_folder_that_is_refused_does_not_wait_for_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "dilmac.engines.transformers", raising=False)
    with pytest.raises(InputError, match=r"no config\.json"):
        load(EngineSpec(kind="transformers", model=tmp_path))
    assert "dilmac.engines.transformers" not in sys.modules
