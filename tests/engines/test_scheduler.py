"""Several answers at once: each is what it would be alone, and each comes and goes by itself."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM
from transformers.cache_utils import DynamicLayer

from dilmac.core import DilmacError, InputError
from dilmac.engines import EngineSpec, Sampling, Token, scheduler
from dilmac.engines.batch import Batch, Request, can_share, new_cache, read
from dilmac.engines.choosing import Array, Chooser
from dilmac.engines.growing import ROOM, GrowingLayer
from dilmac.engines.interface import Progress
from dilmac.engines.scheduler import Scheduler
from dilmac.engines.transformers import Transformers

Item = Token | Progress
SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
}
GREEDY = Sampling(max_tokens=12, temperature=0)
NOTHING = np.array([], dtype=np.int64)


@pytest.fixture(scope="module")
def backend(blank_model: Path) -> Transformers:
    return Transformers(EngineSpec(kind="transformers", model=blank_model, slots=3, threads=1))


@pytest.fixture(scope="module")
def tiny() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()


def in_company(works: list[Callable[[], list[Item]]]) -> list[list[Item]]:
    """What each gives, all begun at once."""
    given: list[list[Item]] = [[] for _ in works]

    def run(place: int) -> None:
        given[place] = works[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def ids_of(items: list[Item]) -> list[int]:
    return [item.id for item in items if isinstance(item, Token)]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_company_changes_no_answer(backend: Transformers, temperature: float) -> None:
    asked = [
        (
            [1, *range(300, 300 + 9 * n)],
            Sampling(max_tokens=3 + 4 * n, temperature=temperature, top_k=20 * n, seed=n),
        )
        for n in range(7)
    ]
    alone = [list(backend.generate(prompt, sampling, bool)) for prompt, sampling in asked]
    together = in_company([lambda one=one: list(backend.generate(*one, bool)) for one in asked])
    assert [ids_of(items) for items in together] == [ids_of(items) for items in alone]
    assert [len(ids_of(items)) for items in alone] == [3 + 4 * n for n in range(7)]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours[-1] == theirs[-1] == "length"
        pairs = zip(ours[:-1], theirs[:-1], strict=True)
        assert all(abs(a.logprob - b.logprob) < 1e-4 for a, b in pairs)  # type: ignore[union-attr]


def test_one_stops_and_one_is_cancelled_and_the_others_go_on(backend: Transformers) -> None:
    prompt = [1, 300, 301]
    whole = ids_of(list(backend.generate(prompt, GREEDY, bool)))
    stopping = GREEDY.model_copy(update={"stop_ids": (whole[2],)})
    asked = iter([False] * 4)
    together = in_company(
        [
            lambda: list(backend.generate(prompt, GREEDY, bool)),
            lambda: list(backend.generate(prompt, stopping, bool)),
            lambda: list(backend.generate(prompt, GREEDY, lambda: next(asked, True))),
        ]
    )
    assert [items[-1] for items in together] == ["length", "stop", "cancelled"]
    stopped = whole.index(whole[2])
    assert ids_of(together[0]) == whole and ids_of(together[1]) == whole[:stopped]
    assert ids_of(together[2]) == whole[: len(ids_of(together[2]))] != whole


def test_who_leaves_frees_the_slot(backend: Transformers) -> None:
    endless = Sampling(max_tokens=10_000, temperature=1)
    for _ in range(5):
        answer = backend.generate([1, 300], endless, bool)
        assert isinstance(next(answer), Token)
        answer.close()  # type: ignore[attr-defined]
    assert len(ids_of(list(backend.generate([1, 300], GREEDY, bool)))) == 12
    assert backend._scheduler.call(backend._scheduler._all) == []


def test_scores_are_given_beside_answers(backend: Transformers) -> None:
    prompt = [1, *range(300, 320)]
    alone = backend.logprobs([(prompt, 1)])
    answer = backend.generate([1, 300], Sampling(max_tokens=100, temperature=0), bool)
    next(answer)
    assert backend.logprobs([(prompt, 1)]) == alone
    assert len(backend.score(prompt, top=3)) == len(prompt) - 1
    assert len(ids_of(list(answer))) == 99
    with pytest.raises(InputError):
        backend.score([], top=1)


def test_what_fails_costs_the_one_who_asked(
    backend: Transformers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(model: object, ids: torch.Tensor, *rest: object) -> torch.Tensor:
        if int(ids[0, 0]) == 7:
            raise MemoryError("no room")
        return read(model, ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(scheduler, "read", failing)

    def fails() -> list[Item]:
        with pytest.raises(MemoryError, match="no room"):
            list(backend.generate([7, 300], GREEDY, bool))
        return []

    together = in_company([fails, lambda: list(backend.generate([1, 300], GREEDY, bool))])
    assert len(ids_of(together[1])) == 12


def test_who_waits_for_a_slot_hears_that_all_is_well(
    backend: Transformers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "SIGN_SECONDS", 0.0)
    long = Sampling(max_tokens=100, temperature=0)
    running = [backend.generate([1, 300], long, bool) for _ in range(3)]
    for answer in running:
        next(answer)
    waiting = list(backend.generate([1, 300], GREEDY, bool))
    assert waiting[0] == "reading" and len(ids_of(waiting)) == 12


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_rows_join_and_leave_a_batch_and_each_sees_its_own(
    tiny: LlamaForCausalLM, data: st.DataObject
) -> None:
    batch, texts = Batch(tiny), dict[int, list[int]]()
    with torch.inference_mode():
        for number in range(data.draw(st.integers(1, 6))):
            text = data.draw(st.lists(st.integers(0, 63), min_size=2, max_size=20))
            request = Request((), GREEDY, 99, Chooser(GREEDY, NOTHING), bool)
            request.cache, request.last = new_cache(tiny), text[-1]
            read(tiny, torch.tensor([text[:-1]]), request.cache)
            batch.join(request)
            texts[id(request)] = text
            if number % 2:
                batch.keep(sorted(data.draw(st.sets(st.sampled_from(range(len(batch.requests)))))))
            if not batch.requests:
                continue
            logits = batch.step()
            for row, request in enumerate(batch.requests):
                text = texts[id(request)]
                alone = tiny(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1]
                torch.testing.assert_close(logits[row], alone, atol=1e-5, rtol=1e-4)
                request.last = int(alone.argmax())
                text.append(request.last)


def test_models_whose_rows_cannot_share_a_cache_take_turns(tiny: LlamaForCausalLM) -> None:
    torch.manual_seed(0)
    sliding = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=6)).eval()
    assert can_share(tiny) and not can_share(sliding)
    owner = Scheduler(lambda: sliding, 4)

    def asked(length: int) -> Request:
        parts = torch.tensor([list(range(1, 1 + length))]).split(4, 1)
        return Request(parts, GREEDY, 12, Chooser(GREEDY, NOTHING), bool)

    together = in_company([lambda n=n: list(owner.answer(asked(n))) for n in (3, 9, 20)])
    for length, items in zip((3, 9, 20), together, strict=True):
        ids = list(range(1, 1 + length))
        for row in ids_of(items):
            with torch.inference_mode():
                logits = sliding(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
            assert row == int(logits.argmax())
            ids.append(row)
        assert len(ids) == length + 12


def test_a_cache_with_room_holds_what_transformers_own_does() -> None:
    plain, room = DynamicLayer(), None
    for length in (3, 1, ROOM, 1, 2 * ROOM, 1):
        keys, values = torch.rand(2, 1, length, 4), torch.rand(2, 1, length, 6)
        expected = plain.update(keys, values)
        given = room.update(keys, values) if room else expected
        room = room or GrowingLayer.of(plain)
        for ours, theirs in zip(given, expected, strict=True):
            assert torch.equal(ours, theirs)
    assert room is not None and room.get_seq_length() == plain.get_seq_length()


def test_the_thread_that_decodes_loads_the_model(tiny: LlamaForCausalLM) -> None:
    seen: list[tuple[int, bool]] = []

    def load() -> LlamaForCausalLM:
        seen.append((threading.get_ident(), torch.is_inference_mode_enabled()))
        return tiny

    owner = Scheduler(load, 1)
    assert seen == [(owner.call(threading.get_ident), False)]
    assert seen[0][0] != threading.get_ident()
    assert owner.call(torch.is_inference_mode_enabled)


def test_a_model_that_cannot_be_loaded_leaves_no_thread() -> None:
    def load() -> LlamaForCausalLM:
        loading.append(threading.current_thread())
        raise InputError("no such model")

    loading: list[threading.Thread] = []
    with pytest.raises(InputError, match="no such model"):
        Scheduler(load, 1)
    loading[0].join(30)
    assert not loading[0].is_alive()


@pytest.mark.parametrize("is_first", [True, False])
def test_an_answer_without_numbers_ends_with_the_reason_and_no_other(
    tiny: LlamaForCausalLM, is_first: bool
) -> None:
    owner = Scheduler(lambda: tiny, 4)
    made = 0

    class Broken(Chooser):
        def __call__(self, logits: Array) -> Token:
            nonlocal made
            made += 1
            return super().__call__(logits * np.nan if is_first or made > 3 else logits)

    requests = [
        Request((torch.tensor([[1, 2, 3]]),), GREEDY, 8, kind(GREEDY, NOTHING), bool)
        for kind in (Broken, Chooser)
    ]
    sound = []
    other = threading.Thread(target=lambda: sound.extend(owner.answer(requests[1])))
    other.start()
    with pytest.raises(DilmacError, match="which is no number"):
        list(owner.answer(requests[0]))
    other.join(60)
    assert len(ids_of(sound)) == 8 and sound[-1] == "length"
