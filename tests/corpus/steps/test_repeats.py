"""Shares of repeated text equal a plain count, letter by letter."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.corpus.steps.repeats import PHRASE_SIZES, TOP_SIZES, ngram_shares, repeated_line_shares
from dilmac.corpus.words import word_table

WORDS = st.lists(st.sampled_from(["bir", "iki", "üç", "dört", "çay"]), max_size=40)


def plain_shares(words: list[str], length: int) -> dict[int, float]:
    shares = {}
    for size in TOP_SIZES:
        counts = Counter(zip(*(words[n:] for n in range(size)), strict=False))
        best = max(
            (count * sum(map(len, gram)) for gram, count in counts.items() if count > 1), default=0
        )
        shares[size] = min(1.0, best / max(1, length))
    for size in PHRASE_SIZES:
        seen, covered = set(), set()
        for place in range(len(words) - size + 1):
            gram = tuple(words[place : place + size])
            if gram in seen:
                covered |= set(range(place, place + size))
            seen.add(gram)
        shares[size] = sum(len(words[place]) for place in covered) / max(1, length)
    return shares


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5))
def test_ngram_shares_equal_a_plain_count(documents: list[list[str]]) -> None:
    texts = [" ".join(words) for words in documents]
    found = ngram_shares(word_table(texts))
    for place, (words, text) in enumerate(zip(documents, texts, strict=True)):
        expected = plain_shares(words, len(text))
        assert {size: shares[place] for size, shares in found.items()} == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=12), min_size=1, max_size=4))
def test_repeated_lines_equal_a_plain_count(documents: list[list[str]]) -> None:
    shares = repeated_line_shares(word_table(["\n".join(lines) for lines in documents]))
    for share, lines in zip(shares, documents, strict=True):
        expected = 1 - len(set(lines)) / len(lines) if lines else 0
        assert share == pytest.approx(expected)


def test_sentences_count_as_lines() -> None:
    (share,) = repeated_line_shares(word_table(["Çay iç. Su iç. Çay iç. Süt iç."]))
    assert share == pytest.approx(0.25)
