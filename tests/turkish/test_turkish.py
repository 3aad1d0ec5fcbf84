"""Casing and normalization by the rules of Turkish."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dilmac.turkish import lower, nfc, upper

letters = st.text("abcçdefgğhıijklmnoöprsştuüvyzâîû", max_size=40)


@given(letters)
def test_casing_turns_back(text: str) -> None:
    assert lower(upper(text)) == text
    assert len(upper(text)) == len(text)


def test_dotted_and_dotless_i() -> None:
    assert lower("IŞIK DİYARBAKIR") == "ışık diyarbakır"
    assert upper("ışık diyarbakır") == "IŞIK DİYARBAKIR"


@given(st.text(max_size=60))
def test_nfc_is_composed_and_stays(text: str) -> None:
    once = nfc(text)
    assert nfc(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(letters | letters.map(upper))
def test_decomposed_turkish_comes_back(text: str) -> None:
    assert nfc(unicodedata.normalize("NFD", text)) == text


def test_a_wrongly_lowered_capital_is_mended() -> None:
    assert nfc("DİYARBAKIR İYİ".lower()) == "diyarbakir iyi"
