"""When training stops: after so many measurements without gain."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dilmac.training.patience import LEAST_GAIN, Patience

bits = st.floats(0.1, 10)


@given(st.lists(bits, max_size=30), st.integers(1, 4))
def test_it_is_over_at_the_first_row_without_gain(values: list[float], limit: int) -> None:
    """Against a look at the whole row."""
    patience = Patience(limit)
    for place, value in enumerate(values):
        over = patience.is_over(value)
        best, since = math.inf, 0
        for earlier in values[: place + 1]:
            if earlier < best - LEAST_GAIN:
                best, since = earlier, 0
            else:
                since += 1
        assert over == (since >= limit)
        if over:
            return


@given(st.lists(bits, max_size=12), st.lists(bits, max_size=12))
def test_it_goes_on_from_its_state(before: list[float], after: list[float]) -> None:
    whole, first, second = Patience(3), Patience(3), Patience(3)
    for value in before:
        whole.is_over(value)
        first.is_over(value)
    second.load(first.state())
    assert [whole.is_over(value) for value in after] == [second.is_over(value) for value in after]


def test_without_a_limit_or_a_measurement_it_never_ends() -> None:
    assert not any(Patience().is_over(1.0) for _ in range(50))
    patience = Patience(1)
    assert not any(patience.is_over(None) for _ in range(5))
    assert not patience.is_over(1.0)
    assert patience.is_over(1.0)
