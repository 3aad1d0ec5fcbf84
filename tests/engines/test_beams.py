"""Beam search: transformers' own answer, with its log-probabilities, beside answers to others."""

import threading
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from dilmac.core import InputError
from dilmac.engines import EngineSpec, Sampling, Token, require_beams, with_preset
from dilmac.engines.transformers import Transformers
from dilmac.serve import ChatConfig

PROMPT = [1, *range(300, 330)]
BEAMS = Sampling(max_tokens=10, **with_preset("beam", {}))


@pytest.fixture(scope="module")
def backend(blank_model: Path) -> Transformers:
    spec = EngineSpec(kind="transformers", model=blank_model, slots=2, threads=1)
    made = Transformers(spec)
    made.prompt_batch = 8
    return made


def answer(backend: Transformers, sampling: Sampling) -> tuple[list[Token], str]:
    *items, reason = backend.generate(PROMPT, sampling, bool)
    tokens = [item for item in items if isinstance(item, Token)]
    assert items == [*["reading"] * (len(items) - len(tokens)), *tokens]  # all at the end
    return tokens, str(reason)


def test_it_is_transformers_own_answer(backend: Transformers) -> None:
    suppressed = backend._suppressed.tolist()
    assert BEAMS.num_beams == 4 and BEAMS.temperature == 0
    tokens, reason = answer(backend, BEAMS)
    ids = torch.tensor([PROMPT])
    with torch.inference_mode():
        whole = backend.model.generate(  # type: ignore[operator]
            input_ids=ids,
            num_beams=4,
            do_sample=False,
            max_new_tokens=10,
            suppress_tokens=suppressed or None,
        )
    assert reason == "length" and [token.id for token in tokens] == whole[0, len(PROMPT) :].tolist()
    greedy, _ = answer(backend, BEAMS.model_copy(update={"num_beams": 1}))
    assert sum(t.logprob for t in tokens) > sum(t.logprob for t in greedy)
    ids_of_all = [*PROMPT, *(token.id for token in tokens)]
    given = backend.logprobs([(ids_of_all, len(PROMPT))])[0]
    assert [token.logprob for token in tokens] == pytest.approx([p for p, _ in given], abs=1e-4)


def test_a_stop_ends_it_and_is_not_given_out(backend: Transformers) -> None:
    tokens, _ = answer(backend, BEAMS)
    # Everything may end an answer but the first token of the best one.
    stops = tuple(row for row in range(5, 1024) if row != tokens[0].id)
    stopped, reason = answer(backend, BEAMS.model_copy(update={"stop_ids": stops}))
    assert reason == "stop" and all(token.id not in stops for token in stopped)


def test_it_can_be_cancelled(backend: Transformers) -> None:
    asked = iter([False] * 7)
    items = list(backend.generate(PROMPT, BEAMS, lambda: next(asked, True)))
    assert items[-1] == "cancelled" and not any(isinstance(item, Token) for item in items)
    assert len(answer(backend, BEAMS)[0]) == 10


def test_others_are_answered_meanwhile(backend: Transformers) -> None:
    alone = list(backend.generate([1, 300], Sampling(max_tokens=20, temperature=0), bool))
    long = BEAMS.model_copy(update={"max_tokens": 60})
    search = backend.generate(PROMPT, long, bool)
    for _ in range(6):  # four parts of the prompt, and steps of the search
        assert next(search) == "reading"
    given: list[object] = []
    other = threading.Thread(
        target=lambda: given.extend(
            backend.generate([1, 300], Sampling(max_tokens=20, temperature=0), bool)
        )
    )
    other.start()
    rest = list(search)
    other.join()
    assert [item.id for item in given if isinstance(item, Token)] == [
        item.id for item in alone if isinstance(item, Token)
    ]
    assert sum(isinstance(item, Token) for item in rest) == 60 and rest[-1] == "length"


def test_what_no_beam_search_can_do_is_refused() -> None:
    with pytest.raises(InputError, match=r"temperature 0\.7 draws one"):
        Sampling(num_beams=4)
    for number in (0, 17):
        with pytest.raises(ValidationError):
            Sampling(num_beams=number, temperature=0)
    with pytest.raises(InputError, match="llamacpp has no beam search"):
        require_beams("llamacpp", BEAMS)
    require_beams("llamacpp", BEAMS.model_copy(update={"num_beams": 1}))
    require_beams("transformers", BEAMS)


def test_chat_takes_the_engine_that_has_it() -> None:
    config = ChatConfig(preset="beam")
    assert config.engine_spec().kind == "transformers" and config.sampling(0).num_beams == 4
    with pytest.raises(InputError, match="draws one"):
        ChatConfig(preset="beam", temperature=1.0).sampling(0)
