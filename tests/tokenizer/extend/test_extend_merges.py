"""Merges equal those of the plainest algorithm; words are counted by source and in a bound."""

from itertools import pairwise
from pathlib import Path

import pytest
from byte_level_base import words as some_text
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.tokenizer.extend.base import Pair, read_base
from dilmac.tokenizer.extend.merges import MIN_COUNT, join, learn_merges
from dilmac.tokenizer.extend.words import UNIT, Word, count_stretches, source_weights, words_of

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


def test_a_source_counts_as_its_bytes_to_a_power() -> None:
    documents = [{"source": "law", "text": "a" * 6400}, {"source": "news", "text": "ş" * 50}]
    assert source_weights(documents, 1) == {}
    assert source_weights(documents, 0.5) == {"law": UNIT, "news": 8 * UNIT}
    assert source_weights(documents, 0) == {"law": UNIT, "news": 64 * UNIT}
    assert source_weights([], 0.5) == {}


def test_counts_are_weighted_by_source() -> None:
    documents = [{"source": "law", "text": "ve ve\nve"}, {"source": "news", "text": "ve  bir"}]
    counts = count_stretches(documents, {"news": 300})
    assert counts == {"ve": 2 * UNIT + 300, " ve": UNIT, " bir": 300}


def test_a_full_table_loses_what_counts_least(capsys: pytest.CaptureFixture[str]) -> None:
    documents = [{"source": "", "text": " ".join([f"söz{n}", "ve", "bir"])} for n in range(1000)]
    counts = count_stretches(documents, {}, max_stretches=100)
    assert len(counts) <= 100
    assert counts[" ve"] == counts[" bir"] == 1000 * UNIT
    assert "the table was full" in capsys.readouterr().err


def test_words_are_turkish_and_cut_by_the_base(base: Path) -> None:
    parts = read_base(base)
    plain = " öğretmenlerimizdendir"
    others = (" \\mathbf{x}", " useEffect", " #öğretmen", "öğretmen_sayısı", "<|im_end|>", " xqw")
    words = words_of(parts, {plain: 700, "ANKARA'DAKİLER": 100} | dict.fromkeys(others, 100))
    spelled = {parts.fast.decode(list(word)): count for word, count in words.items()}
    assert spelled == {plain: 700, "ANKARA": 100, "'D": 100, "AKİLER": 100}


@settings(max_examples=200, deadline=None)
@given(text=some_text)
def test_every_word_is_a_run_of_the_bases_own_tokens(base: Path, text: str) -> None:
    parts = read_base(base)
    for word in words_of(parts, {text: UNIT}):
        assert len(word) > 1
        spelled = parts.fast.decode(list(word))
        assert (
            parts.fast.encode(spelled).ids[-1] == word[-1] and spelled.strip(" '’\"“(«-").isalpha()
        )
