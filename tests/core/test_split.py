"""The split by hash: the same everywhere, even, and the same side for the same id."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.core import part_of, place_of


@pytest.mark.parametrize(
    ("key", "place"), [("", 88.94159949), ("dilmaç", 21.38047708), ("tr-law-1", 46.91942522)]
)
def test_anybody_can_repeat_it(key: str, place: float) -> None:
    """Made with `printf KEY | sha256sum | cut -c1-16`, as a percentage of 2**64."""
    assert place_of(key) == pytest.approx(place, abs=1e-7)


@given(st.text())
def test_the_part_follows_from_the_place(key: str) -> None:
    place = place_of(key)
    assert 0 <= place < 100
    assert part_of(key) == ("train" if place < 80 else "validation" if place < 90 else "test")


def test_the_parts_are_80_10_10() -> None:
    counts = Counter(part_of(f"doc-{number}") for number in range(20_000))
    assert counts["train"] == pytest.approx(16_000, abs=250)
    assert counts["validation"] == pytest.approx(2_000, abs=200)
    assert counts["test"] == pytest.approx(2_000, abs=200)
