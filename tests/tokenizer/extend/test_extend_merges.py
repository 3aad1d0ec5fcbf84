"""Merges equal those of the plainest algorithm; words are counted by source and in a bound."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byte_level_base import words as some_text
from dilmac.tokenizer.extend.base import Pair, read_base
from dilmac.tokenizer.extend.merges import MIN_COUNT, join, learn_merges
from dilmac.tokenizer.extend.words import UNIT, Word, words_of

NAMES = ["a", "b", "c", "ab", "ba"]
counted = st.dictionaries(
    st.lists(st.integers(0, len(NAMES) - 1), min_size=2, max_size=7).map(tuple),
    st.integers(1, 9).map(lambda count: count * UNIT),
    max_size=12,
)


def plain_merges(words: dict[Word, int], rows: int) -> list[Pair]:
    """All pairs counted anew before every merge."""
    names, merges = list(NAMES), []
    while len(merges) < rows:
        weight: dict[Pair, int] = {}
        for word, count in words.items():
            for pair in pairwise(word):
                weight[pair] = weight.get(pair, 0) + count
        open_pairs = [
            pair
            for pair, count in weight.items()
            if count >= MIN_COUNT and names[pair[0]] + names[pair[1]] not in names
        ]
        if not open_pairs:
            break
        best = min(open_pairs, key=lambda pair: (-weight[pair], pair))
        joined: dict[Word, int] = {}
        for word, count in words.items():
            after = join(word, best, len(names))
            joined[after] = joined.get(after, 0) + count
        words = joined
        names.append(names[best[0]] + names[best[1]])
        merges.append(best)
    return merges


@settings(max_examples=500, deadline=None)
@given(words=counted)
def test_merges_are_those_of_counting_anew(words: dict[Word, int]) -> None:
    assert learn_merges(words, NAMES, 20) == plain_merges(words, 20)


@pytest.mark.parametrize(
    ("word", "joined"),
    [((1, 1, 1), (9, 1)), ((1, 1, 1, 1), (9, 9)), ((2, 1, 1), (2, 9)), ((1, 2), (1, 2)), ((), ())],
)
def test_pairs_are_joined_from_the_left(word: Word, joined: Word) -> None:
    assert join(word, (1, 1), 9) == joined


def test_words_are_turkish_and_cut_by_the_base(base: Path) -> None:
    parts = read_base(base)
    plain = " öğretmenlerimizdendir"
    others = (" \\mathbf{x}", " useEffect", " #öğretmen", "öğretmen_sayısı", "<|im_end|>", " xqw")
    words = words_of(parts, {plain: 7.0, "ANKARA'DAKİLER": 1.0} | dict.fromkeys(others, 1.0))
    spelled = {parts.fast.decode(list(word)): count for word, count in words.items()}
    assert spelled == {
        plain: 7 * UNIT,
        "ANKARA": UNIT,
        "'D": UNIT,
        "AKİLER": UNIT,
    }


@settings(max_examples=200, deadline=None)
@given(text=some_text)
def test_every_word_is_a_run_of_the_bases_own_tokens(base: Path, text: str) -> None:
    parts = read_base(base)
    for word in words_of(parts, {text: 1.0}):
        assert len(word) > 1
        spelled = parts.fast.decode(list(word))
        assert (
            parts.fast.encode(spelled).ids[-1] == word[-1] and spelled.strip(" '’\"“(«-").isalpha()
        )
