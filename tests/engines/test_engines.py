"""Both engines, in real processes: the same answers, and every way to die is an event."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dilmac.core import EngineError, InputError
from dilmac.engines import Engine, EngineSpec, Sampling, Token, engine_for
from dilmac.engines.interface import READING
from dilmac.engines.transformers import Transformers
from dilmac.tokenizer import Tokenizer

LONG = Sampling(max_tokens=100, temperature=1.5, top_k=0, top_p=1.0)


@pytest.fixture(scope="module", params=["transformers", "llamacpp"])
def spec(request: pytest.FixtureRequest, tiny_chat: Path, tiny_gguf: Path) -> EngineSpec:
    if request.param == "transformers":
        return EngineSpec(kind="transformers", model=tiny_chat)
    return EngineSpec(kind="llamacpp", model=tiny_gguf / "model-f16.gguf", exact=True)


@pytest.fixture(scope="module")
def engine(spec: EngineSpec) -> Iterator[Engine]:
    """One for all tests that leave it alive: to start it takes ten seconds of a core."""
    with Engine(spec) as running:
        yield running


def test_an_engine_speaks_ids(engine: Engine) -> None:
    ids = engine.tokenize(["Merhaba dünya <|im_end|> 🙂"])[0]
    assert engine.detokenize(ids) == "Merhaba dünya <|im_end|> 🙂"
    assert engine.context == 128 and engine.vocab_size == 1024
    assert engine.control_tokens["<|im_end|>"] == 4

    prompt = [1, *ids]
    first, again = (list(engine.generate(prompt, LONG)) for _ in range(2))
    assert first == again and all(0 <= token.id < 1024 for token in first)
    other = list(engine.generate(prompt, LONG.model_copy(update={"seed": 1})))
    assert other != first

    short = engine.generate(prompt, Sampling(max_tokens=3, temperature=0))
    assert len(list(short)) == 3 and short.finish_reason == "length"
    greedy = [token.id for token in engine.generate(prompt, Sampling(max_tokens=1, temperature=0))]
    best = engine.score([*prompt, 5], top=4)[-1]
    assert greedy == [best[0][0]]
    assert [p for _, p in best] == sorted((p for _, p in best), reverse=True)

    stopping = Sampling(max_tokens=5, temperature=0, stop_ids=tuple(greedy))
    stopped = engine.generate(prompt, stopping)
    assert list(stopped) == [] and stopped.finish_reason == "stop"


def test_without_log_probabilities_the_tokens_are_the_same(engine: Engine) -> None:
    for asked in (Sampling(max_tokens=20, temperature=0), LONG):
        without = asked.model_copy(update={"logprobs": False})
        made = [list(engine.generate([1, 300, 301], each)) for each in (asked, without)]
        assert [token.id for token in made[0]] == [token.id for token in made[1]]
        assert all(token.logprob <= 0 for token in made[1])


def test_a_penalty_is_the_same_in_every_engine(engine: Engine, tiny_chat: Path) -> None:
    asked = Sampling(max_tokens=12, temperature=0, repetition_penalty=1.5)
    plain = asked.model_copy(update={"repetition_penalty": 1.0})
    prompt = [1, 300, 301, 300]
    found, before = ([t.id for t in engine.generate(prompt, each)] for each in (asked, plain))
    assert found != before  # the tiny model repeats itself
    backend = Transformers(EngineSpec(kind="transformers", model=tiny_chat))
    expected = [t.id for t in backend.generate(prompt, asked, bool) if isinstance(t, Token)]
    assert found == expected[: len(found)]


def test_given_tokens_have_the_probabilities_of_score(engine: Engine) -> None:
    text = engine.tokenize(["Bir gün deniz 🙂 sakindi."])[0]  # with an emoji: tokens of a byte each
    ids = [1, *text, engine.control_tokens["<|im_end|>"]]
    all_of = engine.score(ids, top=1024)
    given = engine.logprobs([(ids, 1), (ids[:5], 3)])
    assert [len(row) for row in given] == [len(ids) - 1, 2]
    for row, best, (logprob, is_best) in zip(ids[1:], all_of, given[0], strict=True):
        assert logprob == pytest.approx(dict(best)[row], abs=1e-4)
        assert is_best == (best[0][0] == row)
    assert [p for p, _ in given[1]] == pytest.approx([p for p, _ in given[0][2:4]], abs=1e-4)


def test_every_text_has_the_ids_of_the_tokenizer(engine: Engine, tiny_chat: Path) -> None:
    texts = ["", "a▁b", "▁", "bir  iki\n\n", "<|im_start|>", "漢字 🙂"]
    assert engine.tokenize(texts) == [Tokenizer(tiny_chat).encode(text) for text in texts]
    with pytest.raises(EngineError, match="outside the vocabulary"):
        engine.detokenize([5000])


def test_a_context_is_never_longer_than_the_model_s(spec: EngineSpec) -> None:
    with Engine(spec.model_copy(update={"context": 4096})) as engine:
        assert engine.context == 128
    with Engine(spec.model_copy(update={"context": 64})) as engine:
        assert engine.context == 64


def test_ids_of_characters_in_byte_tokens_are_all_given_out(tiny_gguf: Path) -> None:
    # What the server reports of such a character: its last id, with all of its bytes. In a process
    # of its own, as always: xllamacpp's server may not end with the process that holds it.
    script = (
        "import os, sys, pathlib\n"
        "from dilmac.engines import EngineSpec\n"
        "from dilmac.engines.llamacpp import LlamaCpp\n"
        "backend = LlamaCpp(EngineSpec(kind='llamacpp', model=pathlib.Path(sys.argv[1])))\n"
        "ids = backend.tokenize(['\U0001f642'])[0]\n"
        "reported = {'id': ids[-1], 'bytes': list('\U0001f642'.encode())}\n"
        "whole = backend.tokenize(['ç'])[0]\n"
        "print(len(ids), [*backend._withheld(reported), ids[-1]] == ids, len(whole),\n"
        "      backend._withheld({'id': whole[0], 'bytes': list('ç'.encode())}), flush=True)\n"
        "os._exit(0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tiny_gguf / "model-f16.gguf")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ended.stdout == "4 True 1 []\n"


def test_a_request_can_be_cancelled_and_the_next_one_works(engine: Engine) -> None:
    completion = engine.generate([1, 300], LONG)
    completion.cancel()
    tokens = list(completion)
    assert len(tokens) < 100 and completion.finish_reason in ("cancelled", "stop")
    assert len(list(engine.generate([1, 300], Sampling(max_tokens=2, temperature=0)))) == 2


def test_what_cannot_be_answered_is_refused_and_the_engine_goes_on(engine: Engine) -> None:
    for prompt in ([5] * 200, [1, 5000], []):
        with pytest.raises(EngineError):
            list(engine.generate(prompt, Sampling(max_tokens=2)))
    assert len(list(engine.generate([1, 300], Sampling(max_tokens=2, temperature=0)))) == 2


def test_killed_in_the_middle_of_an_answer(spec: EngineSpec) -> None:
    with Engine(spec) as engine:
        os.kill(engine.pid, signal.SIGSTOP)
        completion = engine.generate([1, 300], LONG)
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match=r"engine died"):
            list(completion)
        assert not engine.is_alive
        with pytest.raises(EngineError):
            list(engine.generate([1, 300], LONG))


def test_a_hung_engine_is_ended(spec: EngineSpec) -> None:
    with Engine(spec, silence_seconds=1.0) as engine:
        os.kill(engine.pid, signal.SIGSTOP)
        with pytest.raises(EngineError, match="was silent for 1 s"):
            list(engine.generate([1, 300], LONG))


def test_no_engine_outlives_the_process_that_started_it(spec: EngineSpec) -> None:
    script = (
        "import sys, time\n"
        "from dilmac.engines import Engine, EngineSpec\n"
        "engine = Engine(EngineSpec.model_validate_json(sys.argv[1]))\n"
        "print(engine.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, spec.model_dump_json()]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    child.wait(timeout=20)
    assert not child.is_running()


def test_both_engines_give_the_same_log_probabilities(tiny_chat: Path, tiny_gguf: Path) -> None:
    ids = [1, *range(300, 340)]
    llama = EngineSpec(kind="llamacpp", model=tiny_gguf / "model-f16.gguf", exact=True)
    with (
        Engine(EngineSpec(kind="transformers", model=tiny_chat)) as first,
        Engine(llama) as second,
    ):
        for ours, theirs in zip(first.score(ids, 8), second.score(ids, 8), strict=True):
            expected = dict(theirs)
            for token, logprob in ours:
                if token in expected:
                    assert logprob == pytest.approx(expected[token], abs=0.02)


@pytest.mark.parametrize("fault", ["text", "truncated", "empty"])
def test_a_damaged_gguf_is_refused(tiny_gguf: Path, tmp_path: Path, fault: str) -> None:
    data = (tiny_gguf / "model-f16.gguf").read_bytes()
    damaged = {"text": b"no model" * 100, "truncated": data[: len(data) // 2], "empty": b""}
    path = tmp_path / "model.gguf"
    path.write_bytes(damaged[fault])
    with pytest.raises(EngineError) as caught:
        Engine(EngineSpec(kind="llamacpp", model=path))
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({}, r"no config\.json"),
        ({"config.json": "{}"}, "no safetensors"),
        ({"config.json": "{", "model.safetensors": ""}, "no JSON"),
        ({"config.json": '{"auto_map": {}}', "model.safetensors": ""}, "auto_map"),
    ],
)
def test_an_unsafe_or_broken_folder_is_refused(
    tmp_path: Path, files: dict[str, str], fault: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(EngineError, match=fault):
        Engine(EngineSpec(kind="transformers", model=tmp_path))


def test_a_path_says_its_engine(tiny_chat: Path, tiny_gguf: Path, tmp_path: Path) -> None:
    assert engine_for(tiny_chat).kind == "transformers"
    assert engine_for(tiny_gguf).model == tiny_gguf / "model-f16.gguf"
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError):
            engine_for(nothing)


def test_a_long_prompt_is_read_in_parts_and_can_be_cancelled_between(tiny_chat: Path) -> None:
    backend = Transformers(EngineSpec(kind="transformers", model=tiny_chat))
    prompt = [1, *range(300, 400)]
    greedy = Sampling(max_tokens=6, temperature=0)
    whole = [item.id for item in backend.generate(prompt, greedy, bool) if isinstance(item, Token)]
    backend.prompt_batch = 16
    items = list(backend.generate(prompt, greedy, bool))
    assert items[:6] == [READING] * 6 and isinstance(items[6], Token)
    assert [item.id for item in items if isinstance(item, Token)] == whole
    asked = iter([False, False, True])
    assert list(backend.generate(prompt, greedy, lambda: next(asked))) == [
        READING,
        READING,
        "cancelled",
    ]


def test_each_slot_of_llama_cpp_has_all_of_the_context(tiny_gguf: Path) -> None:
    spec = EngineSpec(
        kind="llamacpp", model=tiny_gguf / "model-f16.gguf", context=64, slots=3, threads=1
    )
    two = Sampling(max_tokens=2, temperature=1.5)
    with Engine(spec) as engine:
        started = [engine.generate([1, *[300 + n] * 61], two) for n in range(3)]
        assert [len(list(completion)) <= 2 for completion in started] == [True] * 3
        assert {completion.finish_reason for completion in started} <= {"stop", "length"}
        assert len(engine.score([1, *[300] * 20], top=2)) == 20


def test_a_question_after_the_death_is_answered_at_once(tiny_gguf: Path) -> None:
    spec = EngineSpec(kind="llamacpp", model=tiny_gguf / "model-f16.gguf")
    with Engine(spec, silence_seconds=1000.0) as engine:
        os.kill(engine.pid, signal.SIGKILL)
        for _ in range(3):
            with pytest.raises(EngineError, match=r"is not running any more|died"):
                engine.tokenize(["Merhaba!"])
