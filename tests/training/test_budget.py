"""Budgets: what people write is read exactly, and hours become steps that fit into them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.core import ConfigError
from dilmac.training.budget import (
    Budget,
    HoursBudget,
    num_steps_for,
    parse_count,
    parse_hours,
)


@given(st.text(max_size=8))
def test_no_text_brings_a_traceback(written: str) -> None:
    for parse in (parse_count, parse_hours):
        try:
            assert parse(written) > 0
        except ConfigError as error:
            assert repr(written) in error.found


@pytest.mark.parametrize(
    ("written", "hours"),
    [("24", 24), (1.5, 1.5), ("24h", 24), ("1h30m", 1.5), ("90m", 1.5), ("45s", 0.0125), (2, 2)],
)
def test_hours_are_read(written: str | int | float, hours: float) -> None:
    assert parse_hours(written) == pytest.approx(hours)


@pytest.mark.parametrize("written", ["", "h", "0", "0h", "30m1h", "-1", "1:30", "nan", "inf", True])
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="--hours: must be a time above zero"):
        parse_hours(written)


def test_the_smaller_budget_counts() -> None:
    def steps(budget: Budget) -> int | None:
        return num_steps_for(budget, step_tokens=1000, epoch_tokens=50_000)

    assert steps(Budget(tokens=10_000)) == 10
    assert steps(Budget(tokens=10_001)) == 11
    assert steps(Budget(epochs=1)) == 50
    assert steps(Budget(tokens=10_000, epochs=0.1)) == 5
    assert steps(Budget(tokens=1)) == 1
    with pytest.raises(ConfigError, match="no budget"):
        Budget()


@given(
    hours=st.floats(0.5, 100),
    seconds=st.floats(0.01, 5),
    spent=st.floats(0, 600),
    overhead=st.floats(0, 0.5),
)
def test_what_is_decided_fits_and_fills_the_hours(
    hours: float, seconds: float, spent: float, overhead: float
) -> None:
    steps = HoursBudget(hours).decide([90.0, 9.0] + [seconds] * 10, spent, overhead)
    needed = spent + steps * seconds / (1 - overhead)
    one_more = spent + (steps + 1) * seconds / (1 - overhead)
    assert needed <= hours * 3600 * (1 + 1e-9)
    assert hours * 3600 < one_more * (1 + 1e-9)


def test_compiling_and_a_stall_do_not_shorten_the_run() -> None:
    budget = HoursBudget(1)
    smooth = budget.decide([1.0] * 12, 12.0, 0.1)
    assert smooth == int((3600 - 12) * 0.9)
    assert budget.decide([60.0, 20.0] + [1.0] * 9 + [30.0], 12.0, 0.1) == smooth
    assert budget.decide([2.0] * 12, 12.0, 0.1) == smooth // 2


def test_hours_that_the_trial_uses_up_are_refused() -> None:
    with pytest.raises(ConfigError, match="hold no more steps than the 12 of the trial, 5 s each"):
        HoursBudget(0.02).decide([5.0] * 12, 60.0, 0.05)
    with pytest.raises(ConfigError, match="no step was timed"):
        HoursBudget(1).decide([5.0] * 2, 10.0, 0.05)
