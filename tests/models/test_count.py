"""Counts: what people write is read exactly, or refused with the flag that it was written for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.core import ConfigError
from dilmac.models import parse_count
from dilmac.models.count import SCALES
from dilmac.training import budget


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("2B", 2_000_000_000),
        ("1.5M", 1_500_000),
        ("300k", 300_000),
        ("0.1t", 100_000_000_000),
        ("2e9", 2_000_000_000),
        ("2_000_000", 2_000_000),
        (" 7 ", 7),
        (20_480, 20_480),
        (2e9, 2_000_000_000),
    ],
)
def test_counts_are_read_exactly(written: str | int | float, count: int) -> None:
    assert parse_count(written) == count


@given(st.integers(1, 10**12), st.sampled_from(sorted(SCALES)))
def test_a_count_with_a_scale_is_exact(number: int, scale: str) -> None:
    assert parse_count(f"{number}{scale.upper()}") == number * SCALES[scale]
    assert parse_count(f"{number / 8:.3f}M") == number * 125_000


@pytest.mark.parametrize(
    "written", ["", "B", "2G", "1,5M", "-3", "0", "0.5", "1.0000001k", "1e", "2 B M", True, "nan"]
)
def test_what_is_no_count_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match=r"--tokens: .*found") as raised:
        parse_count(written)
    assert "2B" in str(raised.value)


def test_one_reader_serves_tokens_and_parameters() -> None:
    assert budget.parse_count is parse_count
    with pytest.raises(ConfigError, match=r"^--params: "):
        parse_count("fifty", where="--params")
