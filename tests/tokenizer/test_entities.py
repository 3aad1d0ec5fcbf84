"""Entity tokens: phrases become tokens, and every text comes back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.tokenizer.entities import EDUCATION, ENTITY_SETS, EntitySet
from dilmac.turkish import upper

PHRASES = list(EDUCATION.phrases.values())
NAMES = list(EDUCATION.phrases)
parts = st.sampled_from(
    [*PHRASES, *EDUCATION.tokens, *NAMES, *map(upper, PHRASES), "<", ">", "\\", "de", " ", "k", "ş"]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
mixed = st.lists(parts | texts, max_size=12).map("".join)


@settings(max_examples=1000, deadline=None)
@given(text=mixed)
def test_every_text_comes_back(text: str) -> None:
    assert EDUCATION.unmark(EDUCATION.mark(text)) == text


@settings(max_examples=300, deadline=None)
@given(text=mixed)
def test_a_token_in_a_marked_text_is_a_phrase(text: str) -> None:
    """No literal `<EXAM>` of a text is left for the tokenizer to read as the entity."""
    marked = EDUCATION.mark(text)
    for token, phrase in zip(EDUCATION.tokens, PHRASES, strict=True):
        assert marked.count(token) <= text.count(phrase)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("başlangıç seviyesi", "<BEGINNER>"),
        ("Bu ders ileri seviyede, orta seviyeli.", "Bu ders <ADVANCED>de, <INTERMEDIATE>li."),
        ("öğrenci seviyesine göre kısa sınavlar", "<STUDENT_LEVEL>ne göre <QUIZ>lar"),
        ("ara sınav, sınavda, SINAV", "ara <EXAM>, <EXAM>da, SINAV"),
        ("ölçme ve değerlendirmenin", "<ASSESSMENT>nin"),
        ("projeler projeksiyonla projektörle", "<PROJECT>ler projeksiyonla projektörle"),
        ("Başlangıç seviyesi, İleri seviye", "Başlangıç seviyesi, İleri seviye"),
        ("önsınav", "önsınav"),
        ("<EXAM> yazıyor", "<\\EXAM> yazıyor"),
        ("<\\EXAM> ve <\\\\EXAM>", "<\\\\EXAM> ve <\\\\\\EXAM>"),
        ("<sınav>", "<<EXAM>>"),
    ],
)
def test_phrases_are_marked_and_suffixes_stay(text: str, marked: str) -> None:
    assert EDUCATION.mark(text) == marked
    assert EDUCATION.unmark(marked) == text


def test_the_set_of_the_guide_is_whole() -> None:
    assert set(EDUCATION.tokens) == {
        "<STUDENT_LEVEL>",
        "<BEGINNER>",
        "<INTERMEDIATE>",
        "<ADVANCED>",
        "<ASSESSMENT>",
        "<QUIZ>",
        "<EXAM>",
        "<PROJECT>",
    }
    assert ENTITY_SETS["education"] is EDUCATION
    assert len(set(PHRASES)) == len(PHRASES)


def test_a_set_of_ones_own() -> None:
    law = EntitySet({"COURT": "mahkeme", "HIGH_COURT": "yüksek mahkeme"})
    assert law.mark("yüksek mahkemenin, mahkeme") == "<HIGH_COURT>nin, <COURT>"
    assert law.unmark(law.mark("<COURT> mahkeme")) == "<COURT> mahkeme"
