"""How a token is chosen: as transformers' own penalty and warpers leave it, and drawn fairly."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from dilmac.core import DilmacError
from dilmac.engines.choosing import Array, Chooser, largest, suppressed_rows
from dilmac.engines.interface import Sampling

ROWS = 50
NONE = np.array([], dtype=np.int64)
IDS = st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=20)


def random_logits(seed: int, rows: int = ROWS, spread: float = 3.0) -> Array:
    return (np.random.default_rng(seed).standard_normal(rows) * spread).astype(np.float32)


@given(seed=st.integers(0, 99), prompt=IDS, penalty=st.sampled_from([1.0, 1.1, 2.0]))
def test_the_penalty_is_that_of_transformers(seed: int, prompt: list[int], penalty: float) -> None:
    sampling = Sampling(temperature=0, repetition_penalty=penalty)
    chooser = Chooser(sampling, NONE, prompt)
    theirs = RepetitionPenaltyLogitsProcessor(penalty) if penalty > 1 else None
    ids = list(prompt)
    for step in range(5):
        logits = random_logits(100 * step + seed)
        given_out = logits.copy()
        token = chooser(logits)
        assert np.array_equal(logits, given_out)
        expected = torch.from_numpy(logits.copy())[None]
        if theirs:
            expected = theirs(torch.tensor([ids]), expected)
        assert token.id == int(expected.argmax())
        # What is said of the token is the model's own, before any penalty.
        own = torch.log_softmax(torch.from_numpy(logits), -1)[token.id]
        assert abs(token.logprob - float(own)) < 1e-4
        ids.append(token.id)


def expected_shares(logits: Array, sampling: Sampling) -> Array:
    """What transformers' warpers leave of the rows."""
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(sampling.temperature))])
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return torch.softmax(warpers(None, torch.from_numpy(logits.copy())[None]), -1)[0].numpy()


def drawing(temperature: float, top_k: int, top_p: float) -> Sampling:
    return Sampling(temperature=temperature, top_k=top_k, top_p=top_p, logprobs=False)


@settings(deadline=None)
@example(seed=0, rows=3000, spread=0.01, sampling=drawing(5.0, 0, 0.999))  # all but level
@example(seed=0, rows=3000, spread=300.0, sampling=drawing(0.1, 7, 1.0))  # one has it all
@given(
    seed=st.integers(0, 999),
    rows=st.sampled_from([ROWS, 3000]),
    spread=st.sampled_from([0.5, 3.0, 20.0]),
    sampling=st.builds(
        drawing,
        st.floats(0.1, 5),
        st.sampled_from([0, 1, 2, 40, ROWS, 2 * ROWS]),
        st.one_of(st.just(1.0), st.floats(0.01, 1)),
    ),
)
def test_what_is_drawn_from_is_what_the_warpers_of_transformers_leave(
    seed: int, rows: int, spread: float, sampling: Sampling
) -> None:
    logits = random_logits(seed, rows, spread)
    chooser = Chooser(sampling, NONE)
    kept, shares = chooser._kept(logits, logits.max())
    expected = expected_shares(logits, sampling)
    mine = np.zeros(rows)
    mine[kept] = shares / shares.sum(dtype=np.float64)
    # Sums round otherwise, so a row at the very edge of top p may be in one and not in the other.
    differing = ((mine > 0) != (expected > 0)) & (np.maximum(mine, expected) > 1e-30)
    assert differing.sum() <= (1 if sampling.top_p < 1 else 0)
    assert np.abs(mine - expected).max() < max(1e-5, 1.01 * mine[differing].sum())
    token = chooser(logits)
    assert expected[token.id] > 0 or differing[token.id]
    assert token.logprob == pytest.approx(np.log(mine[token.id]), abs=1e-4)


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (3, 1.0), (0, 0.8), (4, 0.9)])
def test_rows_are_drawn_as_often_as_their_shares_say(top_k: int, top_p: float) -> None:
    logits = random_logits(1, 8, spread=1.0)
    sampling = Sampling(temperature=0.9, top_k=top_k, top_p=top_p, seed=3)
    chooser = Chooser(sampling, NONE)
    drawn = np.bincount([chooser(logits).id for _ in range(20_000)], minlength=8) / 20_000
    # Three standard deviations of a share from 20,000 draws are at most 0.011.
    assert np.abs(drawn - expected_shares(logits, sampling)).max() < 0.011


def test_a_seed_says_what_is_drawn() -> None:
    def drawn(seed: int) -> list[int]:
        chooser = Chooser(Sampling(seed=seed), NONE)
        return [chooser(random_logits(step)).id for step in range(20)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_what_is_suppressed_stays_so_under_a_penalty() -> None:
    suppressed = suppressed_rows([3], ROWS, ROWS - 1)
    assert suppressed.tolist() == [3, ROWS - 1]
    logits = np.full(ROWS, -5.0, np.float32)
    logits[[3, ROWS - 1, 7]] = 9.0, 8.0, 4.0
    sampling = Sampling(temperature=0, repetition_penalty=2)
    assert Chooser(sampling, suppressed, [3, ROWS - 1])(logits).id == 7


@pytest.mark.parametrize("top_p", [0.5, 1.0])
@pytest.mark.parametrize("top_k", [0, 1, 30, ROWS])
def test_what_is_suppressed_is_not_drawn_at_the_last_number_either(
    top_k: int, top_p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    chooser = Chooser(Sampling(temperature=1, top_k=top_k, top_p=top_p), np.arange(1, ROWS))

    class Last:
        def random(self) -> float:
            return 1.0  # beyond what a generator gives: rounding may come to it

    monkeypatch.setattr(chooser, "_generator", Last())
    assert chooser(random_logits(5)).id == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0, 0.7])
def test_logits_that_are_no_numbers_are_refused(value: float, temperature: float) -> None:
    logits = random_logits(1)
    logits[9] = value
    with pytest.raises(DilmacError, match="which is no number"):
        Chooser(Sampling(temperature=temperature), NONE)(logits)


def test_a_row_that_is_never_chosen_may_be_no_number() -> None:
    logits = random_logits(1)
    expected = Chooser(Sampling(temperature=0), np.array([9]))(logits).logprob
    logits[9] = -np.inf
    without = Chooser(Sampling(temperature=0), np.array([9]))(logits).logprob
    logits[9] = np.nan
    found = Chooser(Sampling(temperature=0), np.array([9]))(logits).logprob
    assert found == pytest.approx(without) and found != pytest.approx(expected)


@pytest.mark.parametrize("top_p", [0.5, 1.0])
def test_hardly_any_temperature_is_none(top_p: float) -> None:
    chooser = Chooser(Sampling(temperature=1e-46, top_k=0, top_p=top_p), NONE)
    logits = random_logits(3)
    assert chooser(logits).id == int(logits.argmax())


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=30), st.integers(0, 40))
def test_the_largest_are_those_of_a_sort(values: list[float], number: int) -> None:
    found = largest(np.array(values), number)
    assert [values[place] for place in found] == sorted(values, reverse=True)[:number]
