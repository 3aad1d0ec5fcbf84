"""Intervals hold what they are of, repeat with their seed, and cover what they promise."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.evaluate.bootstrap import bootstrap_interval, ratio
from dilmac.evaluate.outcome import Outcome, differences

SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=40)


@settings(max_examples=20, deadline=None)
@given(SHARES, st.integers(0, 1000))
def test_an_interval_repeats_and_stays_within_its_values(values: list[float], seed: int) -> None:
    weights = [1.0] * len(values)
    low, high = bootstrap_interval(values, weights, seed=seed)
    assert (low, high) == bootstrap_interval(values, weights, seed=seed)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


@settings(max_examples=20, deadline=None)
@given(SHARES)
def test_a_model_against_itself_differs_by_nothing(values: list[float]) -> None:
    outcome = Outcome({"acc": values}, [1.0] * len(values), [""] * len(values))
    (found,) = differences(outcome, outcome, 1).values()
    assert found["difference"] == found["low"] == found["high"] == 0
    assert found["num_better"] == found["num_worse"] == 0


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(100):
        values = (random.random(80) < 0.3).astype(float).tolist()
        low, high = bootstrap_interval(values, [1.0] * 80, seed=trial)
        covered += low <= 0.3 <= high
    assert 90 <= covered <= 99


def test_heavier_items_count_more() -> None:
    assert ratio([2, 30], [1, 9]) == 3.2
    outcome = Outcome({"bits_per_byte": [2.0, 30.0]}, [1.0, 9.0], ["a", "b"])
    figures = outcome.figures(1)
    assert figures["metrics"]["bits_per_byte"]["value"] == 3.2
    assert figures["groups"]["b"]["bits_per_byte"] == round(30 / 9, 4)


def test_lower_bits_are_better() -> None:
    ours = Outcome({"bits_per_byte": [1.0, 2.0]}, [1.0, 1.0], ["", ""])
    theirs = Outcome({"bits_per_byte": [2.0, 2.0]}, [1.0, 1.0], ["", ""])
    found = differences(ours, theirs, 1)["bits_per_byte"]
    assert (found["num_better"], found["num_worse"], found["difference"]) == (1, 0, -0.5)


def test_chance_is_zero_when_adjusted() -> None:
    outcome = Outcome({"acc": [1, 0, 0, 0]}, [1.0] * 4, [""] * 4, chance=[0.25] * 4)
    found = outcome.figures(1)["metrics"]["acc"]
    assert (found["chance"], found["chance_adjusted"]) == (0.25, 0)
    assert found["is_above_chance"] is False
