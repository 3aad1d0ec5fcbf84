"""Quality rules: what a text must measure up to, each with the reason it returns.

Sources: Gopher (Rae et al. 2021, arXiv 2112.11446, table A1) and C4 (Raffel et al. 2020, arXiv
1910.10683) for the rules; FineWeb-2 (configs/tur_Latn.yml) for the thresholds that are the defaults
of `QualityRules`. Words are runs of letters and digits in lower case (`words.py`); FineWeb-2 counts
punctuation marks as words too, so its thresholds are met a little more easily here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dilmac.corpus.rules import QualityRules
from dilmac.corpus.steps.repeats import ngram_shares, repeated_line_shares
from dilmac.corpus.words import ALPHA, BREAK, SPACE, STOP, Hashes, WordTable, hash_words

Shares = NDArray[np.float64]

STOP_WORDS = frozenset(
    (  # noqa: SIM905 (words are read better as a line than as a list)
        "ve bir olarak bu ile için olan da de tarafından yılında sonra en daha ilk "  # FineWeb-2's
        "çok ne o ama gibi kadar her değil var ya ki mi mı"
    ).split()
)
STOP_WORDS_FROM_WORDS = 50  # a shorter text may do without
LINES_FROM_LINES = 5  # fewer lines have no layout to judge
_BULLETS = np.array([ord(mark) for mark in "•‣▶◀◦■□▪▫–-*·"], dtype=np.uint32)
_ELLIPSIS = ord("…")


@dataclass(frozen=True)
class Measures:
    """What the rules look at, one number a text [texts]; shares are 0-1."""

    num_words: NDArray[np.int64]
    letter_word_share: Shares
    mean_word_length: Shares
    repeated_line_share: Shares
    repeated_ngram_shares: dict[int, Shares]
    num_stop_words: NDArray[np.int64]
    num_lines: NDArray[np.int64]
    finished_line_share: Shares
    lines_per_word: Shares
    bullet_line_share: Shares
    ellipsis_line_share: Shares
    symbols_per_word: Shares


def measure(table: WordTable) -> Measures:
    """All measures of the texts of a table."""
    tokens, letter_tokens, token_characters = _tokens(table)
    lines = _lines(table)
    num_words = np.diff(table.bounds)
    symbols = np.isin(table.codes, np.array([ord("#"), _ELLIPSIS], dtype=np.uint32))
    return Measures(
        num_words=tokens,
        letter_word_share=_ratio(letter_tokens, tokens),
        mean_word_length=_ratio(token_characters, tokens),
        repeated_line_share=repeated_line_shares(table),
        repeated_ngram_shares=ngram_shares(table),
        num_stop_words=_different_stop_words(table),
        num_lines=lines["all"],
        finished_line_share=_ratio(lines["finished"], lines["all"]),
        lines_per_word=_ratio(lines["all"] - 1, num_words),
        bullet_line_share=_ratio(lines["bullet"], lines["all"]),
        ellipsis_line_share=_ratio(lines["ellipsis"], lines["all"]),
        symbols_per_word=_ratio(_sum_by_text(table, symbols), tokens),
    )


def faults(measures: Measures, rules: QualityRules, *, is_turkish: bool = True) -> list[str]:
    """Reason to reject each text, or "" [texts]."""
    shares = measures.repeated_ngram_shares
    top_limits = {2: rules.max_top_bigram_share, 3: rules.max_top_trigram_share}
    top_limits[4] = rules.max_top_fourgram_share
    is_long = measures.num_words >= STOP_WORDS_FROM_WORDS
    has_lines = measures.num_lines >= LINES_FROM_LINES
    broken: dict[str, NDArray[np.bool_]] = {
        "too_short": measures.num_words < rules.min_words,
        "not_words": measures.letter_word_share < rules.min_letter_word_share,
        "word_length": (measures.mean_word_length < rules.min_mean_word_length)
        | (measures.mean_word_length > rules.max_mean_word_length),
        "repeated_lines": measures.repeated_line_share > rules.max_repeated_line_share,
        "repeated_words": np.logical_or.reduce(
            [shares[size] > limit for size, limit in top_limits.items()]
        ),
        "repeated_phrases": np.logical_or.reduce(
            [shares[size] > limit for size, limit in rules.repeated_phrase_limits().items()]
        ),
        "no_stop_words": is_long & is_turkish & (measures.num_stop_words < rules.min_stop_words),
        "unfinished_lines": has_lines
        & (measures.finished_line_share < rules.min_finished_line_share),
        "list_like": has_lines & (measures.lines_per_word > rules.max_lines_per_word),
        "bullets": has_lines & (measures.bullet_line_share > rules.max_bullet_line_share),
        "ellipses": has_lines & (measures.ellipsis_line_share > rules.max_ellipsis_line_share),
        "symbols": measures.symbols_per_word > rules.max_symbols_per_word,
    }
    reasons = np.full(len(measures.num_words), "", dtype=object)
    for reason, is_broken in reversed(broken.items()):  # the first rule has the last word
        reasons[is_broken] = reason
    return list(reasons)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Shares:
    return part / np.maximum(whole, 1)


def _sum_by_text(table: WordTable, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(flags, dtype=np.int64)])
    counts: NDArray[np.int64] = np.diff(running[table.text_starts])
    return counts


def _tokens(table: WordTable) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Stretches without space, those with a letter, and their characters [texts] each."""
    is_ink = (table.kinds & SPACE) == 0
    edges = np.flatnonzero(np.diff(is_ink.view(np.int8), prepend=np.int8(0), append=np.int8(0)))
    starts, ends = edges[::2], edges[1::2]
    letters = np.concatenate(
        [np.zeros(1, np.int64), np.cumsum((table.kinds & ALPHA) != 0, dtype=np.int64)]
    )
    has_letter = letters[ends] > letters[starts]
    bounds = np.searchsorted(starts, table.text_starts)
    running_letters = np.concatenate([np.zeros(1, np.int64), np.cumsum(has_letter)])
    running_ink = np.concatenate([np.zeros(1, np.int64), np.cumsum(ends - starts)])
    return np.diff(bounds), np.diff(running_letters[bounds]), np.diff(running_ink[bounds])


def _lines(table: WordTable) -> dict[str, NDArray[np.int64]]:
    """Lines that are not empty: all, finished, bulleted, ending in an ellipsis [texts] each."""
    ends = np.flatnonzero(table.codes == BREAK)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    starts, ends = starts[ends > starts], ends[ends > starts]
    last = table.codes[ends - 1]
    dots = ord(".")
    three_dots = (last == dots) & (table.codes[ends - 2] == dots) & (ends - starts > 2)
    flags = {
        "all": np.ones(len(starts), dtype=np.bool_),
        "finished": (table.kinds[ends - 1] & STOP) != 0,
        "bullet": np.isin(table.codes[starts], _BULLETS),
        "ellipsis": (last == _ELLIPSIS) | three_dots,
    }
    bounds = np.searchsorted(starts, table.text_starts)
    return {
        name: np.diff(np.concatenate([np.zeros(1, np.int64), np.cumsum(flag)])[bounds])
        for name, flag in flags.items()
    }


def _different_stop_words(table: WordTable) -> NDArray[np.int64]:
    hashes, ranks = _stop_word_hashes()
    place = np.minimum(np.searchsorted(hashes, table.hashes), len(hashes) - 1)
    found = np.flatnonzero(hashes[place] == table.hashes)
    seen = np.zeros((len(table.bounds) - 1, int(ranks.max()) + 1), dtype=np.bool_)
    seen[table.text_of_word[found], ranks[place[found]]] = True
    counts: NDArray[np.int64] = seen.sum(axis=1)
    return counts


@cache
def _stop_word_hashes() -> tuple[Hashes, NDArray[np.int64]]:
    hashes = hash_words(sorted(STOP_WORDS))
    ranks = np.arange(len(hashes))
    order = np.argsort(hashes)
    return hashes[order], ranks[order]
