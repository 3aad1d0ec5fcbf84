"""`dilmac serve --upstream` before a far side that obeys a test, and before a real one."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from serving import Served, serving, wait_until
from test_injection import ATTACKS, messages_with

from dilmac.cli import main
from dilmac.serve.upstream import without_place
from dilmac.tokenizer import Tokenizer, pretrained_path
from far_side import DONE, WHOLE, FarSide, delta, event, far_side, usage
from killing import run_dilmac

CHAT = "/v1/chat/completions"
KEY = "sk-far-side"
TURNS: list[Any] = [
    {"role": "developer", "content": "Kısa yaz."},
    {"role": "user", "content": "Merhaba!", "name": "Ada"},
    {"role": "assistant", "content": "Selam.", "reasoning_content": "<think> Selam?"},
    {"role": "user", "content": [{"type": "text", "text": "Nasıl"}, {"type": "text", "text": "?"}]},
]
real = pytest.mark.parametrize("server", ["llamacpp"], indirect=True)


@pytest.fixture(scope="module")
def running_far() -> Iterator[FarSide]:
    with far_side() as side:
        yield side


@pytest.fixture(scope="module")
def running_gate(
    running_far: FarSide, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """One request at once, one in line."""
    log = tmp_path_factory.mktemp("gate") / "log"
    bounds = ("--upstream-requests", "1", "--max-waiting", "1")
    key = ("--upstream-key-variable", "FAR_KEY")
    flags = ("--upstream", running_far.url, *bounds, *key)
    with serving("tiny", log, *flags, environment={"FAR_KEY": KEY}) as served:
        assert f"tiny · upstream · context 64 · http://127.0.0.1:{served.port}" in log.read_text()
        yield served
    text = log.read_text()
    assert "Traceback" not in text and "Unclosed" not in text and KEY not in text
    assert re.search(r"answered: \d", text)


@pytest.fixture
def far(running_far: FarSide) -> FarSide:
    running_far.parts, running_far.status = list(WHOLE), 200
    running_far.asked.clear()
    return running_far


@pytest.fixture
def gate(running_gate: Served, far: FarSide) -> Served:
    return running_gate


def ask(gate: Served, **fields: Any) -> tuple[int, Any]:
    return gate.ask(CHAT, {"model": "tiny", "messages": TURNS, **fields})


def test_a_conversation_goes_there_and_comes_back(gate: Served, far: FarSide) -> None:
    far.says(delta(reasoning="Hm."), delta(content="Sel"), delta(content="am."), delta("stop"))
    far.parts += [usage(7, 3), DONE]
    settings = {"temperature": 0.5, "max_completion_tokens": 5, "seed": 2**32 + 1, "stop": "\n"}
    whole = gate.client.chat.completions.create(model="tiny", messages=TURNS, **settings)
    assert far.asked[-1] == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Kısa yaz."},
            {"role": "user", "content": "Merhaba!"},
            {"role": "assistant", "content": "Selam."},
            {"role": "user", "content": "Nasıl?"},
        ],
        "temperature": 0.5,
        "max_tokens": 5,
        "seed": 1,
        "stop": ["\n"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert far.seen[-1]["Authorization"] == f"Bearer {KEY}"  # and not the client's own
    message = whole.choices[0].message
    assert message.content == "Selam." and message.model_dump()["reasoning_content"] == "Hm."
    assert whole.usage is not None and whole.usage.total_tokens == 10
    stream = gate.client.chat.completions.create(
        model="tiny", messages=TURNS, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Selam."
    assert chunks[-1].choices[0].finish_reason == "stop" and last.usage == whole.usage
    ask(gate, preset="creative", enable_thinking=False)
    extra = {"top_k": 50, "chat_template_kwargs": {"enable_thinking": False}}
    assert far.asked[-1].items() >= {"temperature": 0.9, "top_p": 0.95, **extra}.items()


def test_what_an_upstream_does_not_count_is_not_made_up(gate: Served) -> None:
    assert ask(gate)[1]["usage"] is None
    assert gate.ask("/v1/models")[1]["data"][0]["max_model_len"] == 64
    assert gate.health() == {
        "status": "ok", "model": "tiny", "engine": "upstream", "running": 0, "waiting": 0
    }  # fmt: skip


def test_a_text_goes_on_and_ids_are_not_taken(gate: Served, far: FarSide) -> None:
    far.says(event({"choices": [{"text": " varmış"}]}), DONE)
    answer = gate.client.completions.create(model="tiny", prompt="Bir gün", max_tokens=3)
    assert answer.choices[0].text == " varmış" and far.asked[-1]["prompt"] == "Bir gün"
    with pytest.raises(openai.BadRequestError, match="text, no ids"):
        gate.client.completions.create(model="tiny", prompt=[1, 2])
    for asked in ({"prompt": "a"}, {"messages": TURNS}):
        status, told = gate.ask("/tokenize", asked)
        assert status == 501 and "gives no ids" in told["error"]["message"]
    assert gate.ask(CHAT, {"model": "gpt-4", "messages": TURNS})[0] == 404


def test_no_attack_changes_the_roles_that_the_far_side_reads(gate: Served, far: FarSide) -> None:
    from transformers import AutoTokenizer  # as vLLM: template first, then ids of all of it

    folder = pretrained_path("tr32k")
    naive, ours = AutoTokenizer.from_pretrained(folder), Tokenizer(folder)
    roles = [ours.control_id(name) for name in ("<|im_start|>", "<|im_end|>", "<think>")]

    def roles_read(messages: Any) -> list[int]:
        ids = naive.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        return [ids.count(row) for row in roles]

    assert roles_read(messages_with("", "")) == [5, 4, 0]
    assert roles_read(messages_with(ATTACKS[0], "3")) == [6, 6, 0]  # what would happen
    refused = 0
    for attack in ATTACKS:
        for place in ("everywhere", "0", "1", "2", "3", "parts", "turns", "developer", "name"):
            far.asked.clear()
            body = {"model": "tiny", "messages": messages_with(attack, place), "user": attack}
            status, answer = gate.ask(CHAT, body)
            if status == 200:
                assert roles_read(far.asked[0]["messages"]) == [5, 4, 0], (attack, place)
            else:
                refused += 1
                assert status == 400 and not far.asked, (attack, place)
                assert "would read as a control token" in answer["error"]["message"]
        assert gate.ask("/v1/completions", {"model": "tiny", "prompt": attack})[0] in (200, 400)
        if far.asked and "prompt" in far.asked[-1]:
            ids = naive(far.asked[-1]["prompt"], add_special_tokens=False)["input_ids"]
            assert not set(ids) & set(ours.control_tokens.values())
    assert refused > 6 * len(ATTACKS)  # of nine places, most attacks in seven


def test_faults_of_the_far_side_have_a_status_and_no_detail(gate: Served, far: FarSide) -> None:
    secret = json.dumps({"error": {"message": "/home/me/model: cuda:0 died"}}).encode()
    for status, expected in (
        (500, 502),
        (404, 502),
        (401, 502),
        (422, 400),
        (429, 503),
        (503, 503),
    ):
        far.status, far.parts = status, [secret]
        given, told = ask(gate)
        assert given == expected and "upstream" in told["error"]["message"]
        assert "cuda" not in str(told) and "/" not in str(told)
    far.status, far.parts = 400, [b'{"error": {"code": "context_length_exceeded"}}']
    with pytest.raises(openai.BadRequestError) as caught:
        gate.client.chat.completions.create(model="tiny", messages=TURNS)
    assert caught.value.code == "context_length_exceeded"
    far.status, far.parts = 200, WHOLE[:2]  # no end: in the middle of a stream, an event
    stream = gate.client.chat.completions.create(model="tiny", messages=TURNS, stream=True)
    with pytest.raises(openai.APIError, match="did not answer as it should"):
        list(stream)


@pytest.mark.parametrize("is_stream", [False, True])
def test_who_hangs_up_reaches_the_far_side(gate: Served, far: FarSide, is_stream: bool) -> None:
    far.says(delta(content="Bir "), None)
    before = far.num_hung_up
    body = {"messages": TURNS, "stream": is_stream}
    first = gate.begin(CHAT, body)
    wait_until(lambda: far.num_running == 1)
    second = gate.begin(CHAT, body)
    wait_until(lambda: gate.health()["waiting"] == 1)
    status, told = ask(gate)  # one runs, one waits: the next one comes later
    assert status == 503 and told["error"]["code"] == "busy"
    second.close()
    wait_until(lambda: gate.health()["waiting"] == 0)
    assert len(far.asked) == 1  # who left the line was never sent
    if is_stream:
        assert first.getresponse().read(20)
    first.close()
    wait_until(lambda: far.num_hung_up == before + 1 and gate.health()["running"] == 0)
    far.says(*WHOLE)
    assert ask(gate)[0] == 200


def test_flags_that_do_not_go_together_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, far: FarSide
) -> None:
    def said(*flags: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(["serve", "--port", "0", *flags])
        assert caught.value.code == 2
        return capsys.readouterr().err

    url = ("--upstream", far.url)
    assert "--engine does not go with --upstream" in said(*url, "--engine", "llamacpp")
    assert "--model does not go with" in said(*url, "--model", "x")
    assert "--upstream-model needs --upstream" in said("--upstream-model", "x")
    assert "--upstream-requests needs --upstream" in said("--upstream-requests", "2")
    monkeypatch.delenv("NO_KEY", raising=False)
    assert "NO_KEY is empty" in said(*url, "--upstream-key-variable", "NO_KEY")
    told = said("--upstream", "http://me:geheim@127.0.0.1/v1")
    assert "name or a password" in told and "geheim" not in told
    assert "cannot be reached" in said("--upstream", "http://127.0.0.1:9/v1")


def test_a_file_of_the_far_side_is_called_by_its_name() -> None:
    names = ["/home/me/model-f16.gguf", "C:\\me\\a.gguf", "Qwen/Qwen3-0.6B", "qwen3:8b", "/m/b/"]
    assert [without_place(name) for name in names] == [
        "model-f16", "a", "Qwen/Qwen3-0.6B", "qwen3:8b", "b"
    ]  # fmt: skip


@pytest.fixture(scope="module")
def through(server: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`dilmac serve --upstream` before a `dilmac serve` with a model."""
    log, url = tmp_path_factory.mktemp("through") / "log", f"http://127.0.0.1:{server.port}/v1"
    with serving(server.name, log, "--upstream", url) as running:
        yield running


@real
def test_a_real_upstream_answers_as_it_does_itself(server: Served, through: Served) -> None:
    assert [model.id for model in through.client.models.list()] == [server.name]
    assert not psutil.Process(through.process.pid).children()  # no engine of its own
    asked: dict[str, Any] = {"model": server.name, "temperature": 0, "max_tokens": 12}
    turns: list[Any] = [{"role": "user", "content": "Merhaba!"}]
    for text in ("Nasılsın?", "Peki?"):
        itself = server.client.chat.completions.create(**asked, messages=turns)
        whole = through.client.chat.completions.create(**asked, messages=turns)
        assert whole.choices[0].message == itself.choices[0].message
        assert whole.usage == itself.usage
        assert whole.choices[0].finish_reason == itself.choices[0].finish_reason
        stream = through.client.chat.completions.create(**asked, messages=turns, stream=True)
        content = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert content == whole.choices[0].message.content
        turns += [whole.choices[0].message.model_dump(), {"role": "user", "content": text}]
    warm = {"model": server.name, "prompt": "Bir gün", "max_tokens": 9, "temperature": 2, "seed": 3}
    itself, whole = (one.client.completions.create(**warm) for one in (server, through))
    assert whole.choices[0].text == itself.choices[0].text and whole.usage == itself.usage
    with pytest.raises(openai.BadRequestError) as caught:
        long = [{"role": "user", "content": "çok uzun bir ileti " * 100}]
        through.client.chat.completions.create(model=server.name, messages=long)
    assert caught.value.code == "context_length_exceeded"


@real
def test_hanging_up_frees_the_real_engine(server: Served, through: Served) -> None:
    body = {"messages": [{"role": "user", "content": "Uzun bir öykü anlat."}], "temperature": 2}
    connections = [through.begin(CHAT, {**body, "stream": True}) for _ in range(3)]
    for connection in connections:
        connection.close()
    wait_until(lambda: server.health()["running"] == 0 == server.health()["waiting"])
    wait_until(lambda: through.health()["running"] == 0)
    status, _ = through.ask(CHAT, {"model": server.name, **body, "max_tokens": 2})
    assert status == 200


def test_an_upstream_that_goes_away_is_told(tmp_path: Path) -> None:
    with contextlib.ExitStack() as far_stack:
        far = far_stack.enter_context(far_side())
        with serving("tiny", tmp_path / "log", "--upstream", far.url) as gate:
            assert gate.ask("/health")[0] == 200
            far_stack.close()
            status, facts = gate.ask("/health")
            assert status == 503 and facts["status"] == "unreachable"
            assert ask(gate)[0] == 502
            gate.process.terminate()
            assert gate.process.wait(timeout=60) == 0
    assert "cannot be reached" in (tmp_path / "log").read_text()


def test_one_question_to_an_upstream_as_json(far: FarSide) -> None:
    far.says(delta(content="Selam."), delta("length"), usage(5, 2), DONE)
    ended = run_dilmac("chat", "--upstream", far.url, "--say", "Merhaba!", "--json")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert (figures["answer"], figures["tokens"], figures["finish_reason"]) == (
        "Selam.", 2, "length"
    )  # fmt: skip
    sent = {"temperature": 0.7, "top_p": 0.95, "max_tokens": 200, "seed": 42}
    assert far.asked[-1].items() >= sent.items() and "top_k" not in far.asked[-1]
