"""One spelling for each letter."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dilmac.turkish import nfc, upper

letters = st.text("abcçdefgğhıijklmnoöprsştuüvyzâîû", max_size=40)


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
