"""The door of an engine: who may come in, what may be asked, and what a hang costs."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gguf
import psutil
import pytest

from dilmac.core import EngineError
from dilmac.engines import Engine, EngineSpec, Sampling, client

GREEDY = Sampling(max_tokens=20, temperature=0)


@pytest.fixture(scope="module", params=["transformers", "llamacpp"])
def spec(request: pytest.FixtureRequest, tiny_chat: Path, tiny_gguf: Path) -> EngineSpec:
    model = tiny_chat if request.param == "transformers" else tiny_gguf / "model-f16.gguf"
    return EngineSpec(kind=request.param, model=model, threads=1)


@pytest.fixture(scope="module")
def engine(spec: EngineSpec) -> Iterator[Engine]:
    """One for all tests that leave it alive: to start it takes ten seconds of a core."""
    with Engine(spec) as running:
        yield running


@contextlib.contextmanager
def stranger(data: bytes) -> Iterator[threading.Event]:
    """Another process's connection, made to the port of an engine that is being started, before
    the engine itself can come; it says `data` and then nothing."""
    ended, came = threading.Event(), threading.Event()

    def come() -> None:
        while not ended.is_set():
            for connection in psutil.Process().net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and not came.is_set():
                    with socket.create_connection(("127.0.0.1", connection.laddr.port)) as door:
                        came.set()
                        door.sendall(data)
                        ended.wait(60)
            time.sleep(0.005)

    thread = threading.Thread(target=come)
    thread.start()
    try:
        yield came
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("data", [b"0" * 64, b"\xff" * 64, b""], ids=["wrong", "binary", "silent"])
def test_a_stranger_at_the_door_is_turned_away(tiny_gguf: Path, data: bytes) -> None:
    with stranger(data) as came:
        spec = EngineSpec(kind="llamacpp", model=tiny_gguf / "model-f16.gguf")
        with Engine(spec) as engine:
            assert came.is_set()
            assert len(engine.tokenize(["tamam"])) == 1


def test_an_engine_ends_when_its_connection_does(spec: EngineSpec) -> None:
    engine = Engine(spec)
    process = psutil.Process(engine.pid)
    engine.close()
    assert not engine.is_alive and not process.is_running()
    with pytest.raises(EngineError):
        engine.tokenize(["artık yok"])


def test_the_key_is_not_left_in_the_environment(engine: Engine) -> None:
    assert all("key" not in part.lower() for part in psutil.Process(engine.pid).cmdline())


def test_an_engine_that_hangs_while_it_loads_is_given_up(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "START_SECONDS", 1.5)
    stopped: list[int] = []
    before = psutil.Process().children()  # the engine of the other tests

    def stop() -> None:
        while not stopped:
            for child in psutil.Process().children():
                is_worker = "dilmac.engines.worker" in child.cmdline()  # its own program by now
                if is_worker and child not in before:
                    child.send_signal(signal.SIGSTOP)
                    stopped.append(child.pid)

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    with pytest.raises(EngineError, match="was not ready after"):
        Engine(spec)
    thread.join()
    new = [child for child in psutil.Process().children() if child not in before]
    psutil.wait_procs(new, timeout=5)
    assert stopped and not any(child.pid in stopped for child in _running_children())


def _running_children() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]


def test_requests_at_the_same_time_do_not_mix(engine: Engine) -> None:
    alone = [list(engine.generate([1, row], GREEDY)) for row in (300, 400, 500)]
    started = [engine.generate([1, row], GREEDY) for row in (300, 400, 500)]
    ids = [[token.id for token in completion] for completion in reversed(started)]
    assert ids[::-1] == [[token.id for token in tokens] for tokens in alone]


def test_a_left_answer_does_not_hold_the_engine_up(engine: Engine) -> None:
    for token in engine.generate([1, 300], GREEDY.model_copy(update={"max_tokens": 120})):
        assert token.logprob <= 0
        break
    assert len(list(engine.generate([1, 300], GREEDY))) == 20


@pytest.mark.parametrize("context", [16, 1000])
def test_the_window_is_what_was_asked_but_never_beyond_the_model(
    spec: EngineSpec, context: int
) -> None:
    with Engine(spec.model_copy(update={"context": context})) as engine:
        assert engine.context == min(context, 128)
        long = Sampling(max_tokens=400, temperature=1.5)
        completion = engine.generate([1, 300], long)
        assert len(list(completion)) <= engine.context - 2
        with pytest.raises(EngineError, match="tokens in a context of"):
            list(engine.generate([5] * (engine.context + 1), GREEDY))


def test_ids_outside_the_vocabulary_have_no_text(engine: Engine) -> None:
    for ids in ([1024], [-1], [5, 10**12]):
        with pytest.raises(EngineError, match="outside the vocabulary of 1024"):
            engine.detokenize(ids)
    assert engine.detokenize([]) == ""


def test_scores_cover_the_vocabulary_and_sum_to_one(engine: Engine) -> None:
    import math

    rows = engine.score([1, 300, 301], top=2000)
    assert len(rows) == 2
    for row in rows:
        assert len({token for token, _ in row}) == 1024
        assert math.fsum(math.exp(logprob) for _, logprob in row) == pytest.approx(1, abs=1e-3)


def test_greedy_answers_of_both_engines_agree_where_the_margin_is_clear(
    tiny_chat: Path, tiny_gguf: Path
) -> None:
    llama = EngineSpec(kind="llamacpp", model=tiny_gguf / "model-f16.gguf", exact=True, threads=1)
    with (
        Engine(EngineSpec(kind="transformers", model=tiny_chat, threads=1)) as ours,
        Engine(llama) as theirs,
    ):
        compared = 0
        for row in range(300, 330):
            best, second = ours.score([1, row, row], top=2)[-1]
            if best[1] - second[1] > 0.05:
                first = [next(iter(e.generate([1, row], GREEDY))).id for e in (ours, theirs)]
                assert first[0] == first[1] == best[0]
                compared += 1
        assert compared > 10


def test_a_gguf_with_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b"])
    writer.add_token_types([1, 1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(EngineError, match="tokenizer is 'gpt2'"):
        Engine(EngineSpec(kind="llamacpp", model=path))


def test_a_tokenizer_larger_than_its_model_is_refused(tiny_chat: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((tiny_chat / name).read_bytes())
    settings = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    settings["added_tokens"].append({**settings["added_tokens"][-1], "id": 1024, "content": "<x>"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(EngineError, match="the model has 1024 rows, the tokenizer 1025"):
        Engine(EngineSpec(kind="transformers", model=tmp_path))


def test_a_worker_without_its_key_does_not_start() -> None:
    environment = {name: value for name, value in os.environ.items() if "DILMAC" not in name}
    command = [sys.executable, "-m", "dilmac.engines.worker", "1"]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert ended.returncode != 0
