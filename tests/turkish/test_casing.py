"""Casing by the rules of Turkish."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.turkish import capitalize, lower, upper

SMALL = "abcçdefgğhıijklmnoöprsştuüvyzâîû"
CAPITAL = "ABCÇDEFGĞHIİJKLMNOÖPRSŞTUÜVYZÂÎÛ"

small = st.text(SMALL, max_size=40)
mixed = st.text(SMALL + CAPITAL, max_size=40)


def test_the_alphabet_letter_by_letter() -> None:
    assert upper(SMALL) == CAPITAL
    assert lower(CAPITAL) == SMALL


@given(small)
def test_casing_turns_back(text: str) -> None:
    assert lower(upper(text)) == text
    assert len(upper(text)) == len(text)


@given(mixed)
def test_one_case_forgets_the_other(text: str) -> None:
    assert lower(upper(text)) == lower(text)
    assert upper(lower(text)) == upper(text)


def test_dotted_and_dotless_i() -> None:
    assert lower("IŞIK DİYARBAKIR") == "ışık diyarbakır"
    assert upper("ışık diyarbakır") == "IŞIK DİYARBAKIR"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("istanbul", "İstanbul"),
        ("ISPARTA", "Isparta"),
        ("ılgaz", "Ilgaz"),
        ("İZMİR", "İzmir"),
        ("iYI gün", "İyı gün"),
        ("âlâ", "Âlâ"),
        ("", ""),
        ("5 iş", "5 iş"),
        ("ßa", "Ssa"),
        ("ǆep", "ǅep"),
    ],
)
def test_capitalize(text: str, expected: str) -> None:
    assert capitalize(text) == expected


@given(mixed.filter(bool))
def test_capitalize_is_one_capital_and_the_rest(text: str) -> None:
    assert capitalize(text) == upper(text[0]) + lower(text[1:])
    assert capitalize(capitalize(text)) == capitalize(text)


@given(st.text(max_size=60) | st.sampled_from(["ΐ", "ŉ", "ﬁ", "ẞ", "\u0130\u0307", "\ud800", "Σ"]))
def test_nothing_crashes(text: str) -> None:
    for case in (lower, upper, capitalize):
        assert isinstance(case(text), str)
    assert "İ" not in lower(text)
    assert "ı" not in upper(text)
