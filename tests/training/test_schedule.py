"""The learning rate's course."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.training.choices import ScheduleName
from dilmac.training.schedule import rate_share


def course(num_steps: int, schedule: ScheduleName, **shares: float) -> list[float]:
    shares = {"warmup_share": 0.1, "final_share": 0.1, **shares}
    return [rate_share(s, num_steps, schedule=schedule, **shares) for s in range(num_steps)]


@given(
    num_steps=st.integers(1, 3000),
    warmup=st.floats(0, 0.9),
    final=st.floats(0, 1),
    decay=st.floats(0.01, 1),
    schedule=st.sampled_from(["cosine", "wsd", "constant"]),
)
def test_rate_stays_between_zero_and_one_and_never_rises_after_the_warm_up(
    num_steps: int, warmup: float, final: float, decay: float, schedule: ScheduleName
) -> None:
    places = sorted({0, num_steps // 3, num_steps // 2, num_steps * 4 // 5, num_steps - 1})
    shares = [
        rate_share(
            place,
            num_steps,
            schedule=schedule,
            warmup_share=warmup,
            final_share=final,
            decay_share=decay,
        )
        for place in places
    ]
    assert all(0 < share <= 1 for share in shares) or final == 0
    warm = max(1, round(num_steps * warmup))
    after = [share for place, share in zip(places, shares, strict=True) if place >= warm]
    assert after == sorted(after, reverse=True)
    assert all(share >= final - 1e-9 for share in after)


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "constant"])
def test_warm_up_is_linear_and_ends_at_the_highest(schedule: ScheduleName) -> None:
    found = course(100, schedule)
    assert found[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert found[10] == 1.0


def test_cosine_falls_from_the_warm_up_on_to_its_end() -> None:
    found = course(100, "cosine")
    assert found[55] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert found[-1] == pytest.approx(0.1, abs=0.01)


def test_wsd_stays_highest_and_falls_linearly_over_its_last_share() -> None:
    found = course(100, "wsd", decay_share=0.2)
    assert found[10:81] == [1.0] * 71
    falls = [a - b for a, b in pairwise(found[80:])]
    assert falls == pytest.approx([0.9 / 20] * 19)
    assert found[-1] == pytest.approx(0.1 + 0.9 / 20)


def test_constant_stays() -> None:
    assert course(50, "constant")[5:] == [1.0] * 45


def test_a_single_step_is_taken_at_the_highest_rate() -> None:
    assert course(1, "cosine") == course(1, "wsd") == [1.0]
