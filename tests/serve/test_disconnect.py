"""Who hangs up frees the engine, at every stage; an engine that dies costs the answer it gave."""

import json
import signal
import time
from pathlib import Path

import openai
import psutil
import pytest
from serving import Served, served, wait_until

CHAT = "/v1/chat/completions"
LONG = {"messages": [{"role": "user", "content": "Uzun bir öykü anlat."}], "temperature": 2}
SHORT = {**LONG, "max_tokens": 2}


# A death is the same event for every engine; llama.cpp is the one that is quickly there again.
quickly_there_again = pytest.mark.parametrize("server", ["llamacpp"], indirect=True)


def answers(server: Served) -> bool:
    return server.ask(CHAT, {"model": server.name, **SHORT})[0] == 200


@pytest.mark.parametrize("is_stream", [False, True])
def test_hanging_up_in_the_line_and_before_the_first_token(server: Served, is_stream: bool) -> None:
    engine = server.engine
    engine.send_signal(signal.SIGSTOP)
    try:
        # Ids, for a text would need the engine before it stands in the line.
        prompt = {"prompt": [1, 300], "temperature": 2, "stream": is_stream}
        answered = server.fill("/v1/completions", prompt)
        waiting = server.begin("/v1/completions", prompt)
        wait_until(lambda: server.health()["waiting"] == 1)
        waiting.close()
        wait_until(lambda: server.health()["waiting"] == 0)
        assert server.health()["running"] == server.slots
        for connection in answered:
            connection.close()
        wait_until(lambda: server.health()["running"] == 0)
    finally:
        engine.send_signal(signal.SIGCONT)
    assert answers(server) and server.engine.pid == engine.pid


def test_hanging_up_in_the_middle_of_an_answer(server: Served) -> None:
    for _ in range(5):
        connection = server.begin(CHAT, {**LONG, "stream": True})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read(20)
        answer.close()
        connection.close()
    wait_until(lambda: server.health()["running"] == 0)
    assert answers(server)


def test_requests_side_by_side_are_all_answered(server: Served) -> None:
    connections = [server.begin(CHAT, SHORT) for _ in range(6)]
    assert [connection.getresponse().status for connection in connections] == [200] * 6
    for connection in connections:
        connection.close()


def test_as_many_as_there_are_slots_are_answered_at_once(server: Served) -> None:
    long = {"prompt": [1, 300], "temperature": 0, "max_tokens": 120, "stream": True}
    engine = server.engine
    engine.send_signal(signal.SIGSTOP)
    try:
        connections = server.fill("/v1/completions", long)
    finally:
        engine.send_signal(signal.SIGCONT)
    texts = [connection.getresponse().read().decode() for connection in connections]
    assert all(text.endswith("data: [DONE]\n\n") for text in texts)
    said = [
        "".join(
            json.loads(line[6:])["choices"][0]["text"]
            for line in text.split("\n\n")
            if line.startswith("data: {")
        )
        for text in texts
    ]
    assert all(said)
    if server.health()["engine"] == "transformers":  # in llama.cpp company may change a last bit
        assert said == [said[0]] * server.slots


@quickly_there_again
def test_an_engine_that_dies_is_started_again(server: Served) -> None:
    engine = server.engine
    engine.send_signal(signal.SIGSTOP)
    prompt = {"prompt": [1, 300], "max_tokens": 3}
    dying = server.fill("/v1/completions", prompt)
    waiting = server.begin("/v1/completions", prompt)
    wait_until(lambda: server.health()["waiting"] == 1)
    engine.kill()
    for answer in [connection.getresponse() for connection in dying]:
        told = answer.read().decode()
        assert answer.status == 503 and answer.headers["Retry-After"]
        assert "repeat the request" in told
        assert "dilmac" not in told and "/" not in told  # neither the model's place nor its name
    assert waiting.getresponse().status == 200  # by the next engine
    wait_until(lambda: server.ask("/health")[0] == 200)
    assert server.engine.pid != engine.pid and answers(server)


@quickly_there_again
def test_an_engine_that_dies_idle_is_noticed(server: Served) -> None:
    engine = server.engine
    engine.kill()
    wait_until(lambda: server.ask("/health")[0] == 200 and server.engine.pid != engine.pid)
    assert answers(server)


@quickly_there_again
def test_an_engine_that_dies_ends_a_stream_with_an_error(server: Served) -> None:
    # How far an answer has come when a process dies cannot be chosen, so it is tried until one
    # is caught between its first word and its last.
    for _ in range(20):
        stream = server.client.chat.completions.create(
            model=server.name, messages=LONG["messages"], temperature=2, stream=True
        )
        next(iter(stream))
        server.engine.kill()
        try:
            for _ in stream:
                pass
        except openai.APIError as error:
            assert "the engine died" in str(error)
            break
        wait_until(lambda: server.ask("/health")[0] == 200)
    else:
        pytest.skip("every answer was quicker than the signal")
    wait_until(lambda: server.ask("/health")[0] == 200)
    assert answers(server)


def test_a_full_line_says_come_later_and_the_end_is_clean(tiny_gguf: Path, tmp_path: Path) -> None:
    flags = ("--max-waiting", "0", "--slots", "1", "--name", "benim")
    with served(tiny_gguf, tmp_path / "log", *flags) as server:
        server.name = "benim"
        engine = server.engine
        engine.send_signal(signal.SIGSTOP)
        first = server.begin("/v1/completions", {"prompt": [1, 300], "max_tokens": 2})
        wait_until(lambda: server.health()["running"] == 1)
        status, answer = server.ask("/v1/completions", {"model": "benim", "prompt": [1, 300]})
        assert status == 503 and answer["error"]["code"] == "busy"
        engine.send_signal(signal.SIGCONT)
        assert first.getresponse().status == 200
        first.close()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=60) == 0
        psutil.wait_procs([engine], timeout=20)
        assert not engine.is_running()
    text = (tmp_path / "log").read_text()
    assert "answered: 1" in text and "Traceback" not in text


@pytest.mark.slow
def test_a_thousand_cancelled_answers_leave_memory_flat(server: Served) -> None:
    def memory() -> int:
        wait_until(lambda: server.health()["running"] == 0)
        time.sleep(1)
        processes = (psutil.Process(server.process.pid), server.engine)
        return sum(process.memory_info().rss for process in processes)

    def hang_up(times: int) -> None:
        for number in range(times):
            content = f"{number}. uzun öyküyü anlat."
            body = {**LONG, "messages": [{"role": "user", "content": content}], "stream": True}
            connection = server.begin(CHAT, body)
            if number % 2:
                assert connection.getresponse().read(20)
            connection.close()

    hang_up(300)
    before = memory()
    hang_up(1000)
    assert memory() - before < 16 << 20
    assert answers(server)
