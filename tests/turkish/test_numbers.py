"""Numbers in digits and in words."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.turkish import (
    find_numbers,
    format_number,
    parse_number,
    spell_number,
    split_suffix,
    with_suffix,
)

decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("1.234,56", "1234.56", "number"),
        ("1.000", "1000", "number"),
        ("1234", "1234", "number"),
        ("1234,5", "1234.5", "number"),
        ("3,5", "3.5", "number"),
        ("0,5", "0.5", "number"),
        ("0", "0", "number"),
        ("-5", "-5", "number"),
        ("−2.000,00", "-2000", "number"),
        (" 10.000'den ", "10000", "number"),
        ("1990'larda", "1990", "number"),
        ("1,234", "1.234", "number"),  # an English thousand cannot be told from a decimal
        ("%85", "85", "percent"),
        ("%85'i", "85", "percent"),
        ("% 3,5’lik", "3.5", "percent"),
        ("85 %", "85", "percent"),
        ("yüzde 20'si", "20", "percent"),
        ("-%5", "-5", "percent"),
        ("3'üncü", "3", "ordinal"),
        ("3'üncüsü", "3", "ordinal"),
        ("6’ncı", "6", "ordinal"),
        ("3.", "3", "ordinal"),
    ],
)
def test_parse(text: str, value: str, kind: str) -> None:
    number = parse_number(text)
    assert number is not None
    assert (number.value, number.kind) == (Decimal(value), kind)


_REFUSED = """
    1.23 0.5 14.30 14:30 12.05.2024 12/05/2024 2024-05-12 1.2.3 192.168.1.1 192.168.100.200 3/4
    10-15 10–15 007 00 0532 1,234,567 1,234.56 1.0000 12345.678 5G 10km A4 COVID-19 v1.2 x%20y
    5.sınıf 12/A 3'x 1.000, ali5@x 5_x 1,2,3 .5 5²
    """


@pytest.mark.parametrize(
    "text",
    [*_REFUSED.split(), "", "5 6", "sıfır", "٣", "5 'i"],
)
def test_no_number(text: str) -> None:
    assert parse_number(text) is None


def test_find_in_a_sentence() -> None:
    text = (
        "Yıl 2003. Sonra 3. sınıfta 1.250,50 TL (%18 KDV), 14.30'da 12.05.2024 tarihli "
        "5'inci madde; v1.2, A4, 192.168.1.1 ve 10-15 kişi.\n4. Bölüm: yüzde 20'si, 5, 6 ve 7."
    )
    found = [
        (text[slice(*number.span)], int(number.value), number.kind) for number in find_numbers(text)
    ]
    assert found == [
        ("2003", 2003, "number"),
        ("3.", 3, "ordinal"),
        ("1.250,50", 1250, "number"),
        ("%18", 18, "percent"),
        ("5'inci", 5, "ordinal"),
        ("4.", 4, "ordinal"),
        ("yüzde 20", 20, "percent"),
        ("5", 5, "number"),
        ("6", 6, "number"),
        ("7", 7, "number"),
    ]


@given(st.text("0123456789.,:/-%'üncki \nA", max_size=40) | st.text(max_size=40))
def test_found_numbers_stand_in_order_and_hold_their_digits(text: str) -> None:
    end = 0
    for number in find_numbers(text):
        assert end <= number.span[0] < number.span[1] <= len(text)
        end = number.span[1]
        digits = [letter for letter in text[slice(*number.span)] if letter in "0123456789"]
        assert digits
        assert number.value.is_finite()


@given(decimals)
def test_formatting_and_reading_turn_back(value: Decimal) -> None:
    number = parse_number(format_number(value))
    # 0 is never written with a sign, and four groups up to 255 are an address
    if number is None:
        assert format_number(value).count(".") == 3
    else:
        assert number.value == value
        assert number.span == (0, len(format_number(value)))


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [
        (1234.56, None, "1.234,56"),
        (Decimal("1234.50"), None, "1.234,50"),
        (1000, None, "1.000"),
        (999, 2, "999,00"),
        (0.125, 2, "0,13"),
        (2.5, 0, "3"),
        (-2.5, 0, "-3"),
        (-0.001, 2, "0,00"),
        (0.1, None, "0,1"),
        (1e21, None, "1.000.000.000.000.000.000.000"),
        (1e-7, None, "0,0000001"),
        (10**30, 1, "1" + ".000" * 10 + ",0"),
        (9.999, 2, "10,00"),
    ],
)
def test_format(value: Decimal | int | float, places: int | None, expected: str) -> None:
    assert format_number(value, places) == expected


@pytest.mark.parametrize(("value", "places"), [(float("nan"), None), (float("inf"), 2), (1, -1)])
def test_what_cannot_be_written_is_refused(value: float, places: int | None) -> None:
    with pytest.raises(ValueError, match="no number to write"):
        format_number(value, places)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "sıfır"),
        (10, "on"),
        (123, "yüz yirmi üç"),
        (200, "iki yüz"),
        (1000, "bin"),
        (1001, "bin bir"),
        (1923, "bin dokuz yüz yirmi üç"),
        (21_345, "yirmi bir bin üç yüz kırk beş"),
        (101_001_100, "yüz bir milyon bin yüz"),
        (1_000_000, "bir milyon"),
        (10**15, "bir katrilyon"),
        (-7, "eksi yedi"),
    ],
)
def test_spell(number: int, words: str) -> None:
    assert spell_number(number) == words


def test_no_name_beyond() -> None:
    with pytest.raises(ValueError, match="beyond"):
        spell_number(10**18)


_NAMES = """
    bir iki üç dört beş altı yedi sekiz dokuz on yirmi otuz kırk elli altmış yetmiş seksen doksan
    """
_VALUES = dict(zip(_NAMES.split(), [*range(1, 10), *range(10, 100, 10)], strict=True))
_POWERS = {"bin": 10**3, "milyon": 10**6, "milyar": 10**9, "trilyon": 10**12, "katrilyon": 10**15}


@given(st.integers(1, 10**18 - 1))
def test_the_words_add_up(number: int) -> None:
    total = group = 0
    for word in spell_number(number).split():
        if word in _POWERS:
            total, group = total + (group or 1) * _POWERS[word], 0
        elif word == "yüz":
            group = (group or 1) * 100
        else:
            group += _VALUES[word]
    assert total + group == number


@pytest.mark.parametrize(
    ("number", "suffix", "expected"),
    [
        (85, "(y)I", "85'i"),
        (3, "(y)I", "3'ü"),
        (10, "(y)I", "10'u"),
        (6, "(y)I", "6'yı"),
        (2, "(y)I", "2'yi"),
        (40, "(y)I", "40'ı"),
        (100, "(y)I", "100'ü"),
        (1000, "(y)I", "1.000'i"),
        (3, "DAn", "3'ten"),
        (10, "DA", "10'da"),
        (6, "(n)In", "6'nın"),
        (9, "(n)In", "9'un"),
        (3, "(I)ncI", "3'üncü"),
        (6, "(I)ncI", "6'ncı"),
        (6, "(ş)Ar", "6'şar"),
        (5, "(ş)Ar", "5'er"),
        (5, "(s)I", "5'i"),
        (3, "CI", "3'çü"),
        ("1990", "lArDA", "1990'larda"),
        ("%85", "(y)I", "%85'i"),
    ],
)
def test_with_suffix(number: int | str, suffix: str, expected: str) -> None:
    assert with_suffix(number, suffix) == expected


@pytest.mark.parametrize("number", ["3,5", "elma", ""])
def test_a_suffix_needs_a_whole_number(number: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        with_suffix(number, "DA")


@given(
    st.integers(0, 10**12),
    st.sampled_from(
        ["(y)I", "(y)A", "DA", "DAn", "(n)In", "(s)I", "lAr", "(I)ncI", "(ş)Ar", "DIr"]
    ),
)
def test_a_made_suffix_is_a_suffix(number: int, suffix: str) -> None:
    assert split_suffix(with_suffix(number, suffix)) is not None
