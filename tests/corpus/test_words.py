"""The table of words equals what plain Python finds in the same texts."""

import re
import unicodedata

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.corpus.words import hash_words, ngram_hashes, tables, word_table
from dilmac.turkish import fold, lower

TURKISH = st.text("abcçğıiöşüABCÇĞIİÖŞÜâ 0123.,'’\n-éя😀", max_size=60)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def words_of(text: str) -> list[str]:
    """Runs of letters, digits and marks, in lower case letter by letter."""
    kept = "".join(
        character if character.isalnum() or unicodedata.category(character) == "Mn" else " "
        for character in text
    )
    small = "".join(fold(lower(c)) if len(lower(c)) == 1 else c for c in kept)
    return re.findall(r"[^ ]+", small)


@settings(max_examples=300, deadline=None)
@given(st.lists(TURKISH | ANY, min_size=1, max_size=6))
def test_a_table_has_the_words_of_its_texts(texts: list[str]) -> None:
    table = word_table(texts)
    assert len(table.bounds) == len(texts) + 1
    for place, text in enumerate(texts):
        words = words_of(text)
        start, end = table.bounds[place : place + 2]
        assert end - start == len(words)
        assert list(table.lengths[start:end]) == [len(word) for word in words]
        if words:
            np.testing.assert_array_equal(table.hashes[start:end], hash_words(words))
    assert list(table.text_lengths) == [len(text) for text in texts]


@settings(max_examples=200, deadline=None)
@given(st.lists(TURKISH, min_size=1, max_size=8))
def test_equal_words_have_equal_hashes_and_others_do_not(texts: list[str]) -> None:
    words = [word for text in texts for word in words_of(text)]
    hashes = word_table(texts).hashes
    assert len(hashes) == len(words)
    assert len(set(hashes.tolist())) == len(set(words))


def test_case_is_turkish() -> None:
    (small,) = hash_words(["ışık"])
    assert hash_words(["IŞIK"])[0] == small
    assert hash_words(["IŞIKI"])[0] != small
    assert hash_words(["İYİ"])[0] == hash_words(["iyi"])[0]


def test_a_word_has_the_same_hash_wherever_it_stands() -> None:
    alone = hash_words(["kitaplık"])[0]
    late = word_table(["bir " * 30_000 + "Kitaplık"]).hashes[-1]
    assert alone == late


def test_ngrams_are_told_by_their_words_in_order() -> None:
    hashes = word_table(["bir iki üç bir iki üç iki bir"]).hashes
    pairs = ngram_hashes(hashes, 2)
    assert len(pairs) == 7
    assert pairs[0] == pairs[3]  # bir iki
    assert pairs[1] == pairs[4]  # iki üç
    assert len(set(pairs.tolist())) == 5
    assert len(ngram_hashes(hashes, 9)) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(TURKISH, max_size=30), st.integers(1, 200))
def test_tables_divide_texts_without_loss(texts: list[str], characters: int) -> None:
    found = [
        (first + place, len(part.hashes[part.bounds[place] : part.bounds[place + 1]]))
        for first, part in tables(texts, characters)
        for place in range(len(part.bounds) - 1)
    ]
    assert found == [(place, len(words_of(text))) for place, text in enumerate(texts)]
