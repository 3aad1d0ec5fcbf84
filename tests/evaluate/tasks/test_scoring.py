"""Answers are compared as Turkish: casing, apostrophes and suffixes, numbers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.evaluate.tasks.scoring import exact_match, f1, normalized_words, number_match
from dilmac.turkish import spell_number


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("İSTANBUL'DA.", "İstanbul"),
        ("“ışık hızı”", "IŞIK HIZI"),
        ("1.234 yılında", "1234 yılında"),
        ("1258'de", "1258"),
        ("%85'i", "%85"),
        ("Osman Bey’in", "Osman Bey"),
        ("İ", "i̇"),  # what a wrong lower-casing leaves behind
    ],
)
def test_the_same_answer_in_another_spelling(said: str, answer: str) -> None:
    assert exact_match(said, [answer]) == 1


@pytest.mark.parametrize(("said", "answer"), [("ılık", "ilik"), ("evde", "ev"), ("12", "%12")])
def test_another_answer_is_another(said: str, answer: str) -> None:
    assert exact_match(said, [answer]) == 0


def test_f1_counts_shared_words_against_the_nearest_answer() -> None:
    assert f1("Bursa'da doğdu", ["Söğüt", "Bursa"]) == pytest.approx(2 / 3)
    assert f1("bir iki üç", ["dört"]) == 0


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_every_text_equals_itself(text: str) -> None:
    assert exact_match(text, [text]) == f1(text, [text]) == 1
    again = " ".join(normalized_words(text))
    assert isinstance(again, str)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9999))
def test_a_number_counts_in_digits_and_in_words(number: int) -> None:
    right = [str(number)]
    for said in (str(number), f" {number}.", f"Sonuç {number} olur", spell_number(number)):
        assert number_match(said, right) == 1, said
    assert number_match(f"{number + 1}, yani {number}", right) == 0
    assert number_match("bilmiyorum", right) == 0


def test_a_number_in_words_counts_as_a_whole() -> None:
    assert number_match("yirmi", ["20"]) == 1
    assert number_match("yirmi bir", ["20"]) == 0
