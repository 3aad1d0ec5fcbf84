"""How much of a text repeats itself: lines, frequent word pairs, longer phrases.

Source: Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1), whose shares are of characters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dilmac.corpus.words import BREAK, Places, WordTable, mix, ngram_hashes

TOP_SIZES = (2, 3, 4)  # share of the text in its most frequent n-gram
PHRASE_SIZES = (5, 6, 7, 8, 9, 10)  # share of the text inside n-grams that stood before

Shares = NDArray[np.float64]


def repeated_line_shares(table: WordTable) -> Shares:
    """Share of the lines and sentences that stood before in the same text [texts]."""
    codes = table.codes
    is_end = codes == BREAK
    is_end[1:] |= (codes[1:] == ord(" ")) & (codes[:-1] == ord("."))
    ends = np.flatnonzero(is_end)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    starts, ends = starts[ends > starts], ends[ends > starts]
    text = np.searchsorted(table.text_starts, starts, side="right") - 1
    keys = table.stretch_hashes(starts, ends) ^ mix(text.astype(np.uint64))
    num_texts = len(table.bounds) - 1
    all_lines = np.bincount(text, minlength=num_texts)
    _, first = np.unique(keys, return_index=True)
    different = np.bincount(text[first], minlength=num_texts)
    return (all_lines - different) / np.maximum(all_lines, 1)


def ngram_shares(table: WordTable) -> dict[int, Shares]:
    """For 2-4 words the share in the most frequent n-gram, for 5-10 in repeated ones [texts] each.

    A longer n-gram can only repeat where the shorter one at its place does, so each size looks
    just at the places that the size before left: on ordinary text a few percent.
    """
    num_texts = len(table.bounds) - 1
    shares = {size: np.zeros(num_texts) for size in (*TOP_SIZES, *PHRASE_SIZES)}
    text_of_word = table.text_of_word
    salt = mix(text_of_word.astype(np.uint64))
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(table.lengths)])
    text_lengths = np.maximum(table.text_lengths, 1)
    places = np.arange(len(table.hashes))
    for size in shares:
        places = places[places + size <= len(table.hashes)]
        places = places[text_of_word[places] == text_of_word[places + size - 1]]
        if not len(places):
            break
        keys = ngram_hashes(table.hashes, size)[places] ^ salt[places]
        order, sizes = _groups(keys, places, stable=size in PHRASE_SIZES)
        group_starts = np.cumsum(sizes) - sizes
        is_repeated = sizes > 1
        if size in TOP_SIZES:
            one = order[group_starts[is_repeated]]
            characters = (running[one + size] - running[one]) * sizes[is_repeated]
            best = np.zeros(num_texts, dtype=np.int64)
            np.maximum.at(best, text_of_word[one], characters)
            shares[size] = np.minimum(1.0, best / text_lengths)
        in_repeated = np.repeat(is_repeated, sizes)
        if size in PHRASE_SIZES:
            in_repeated_again = in_repeated.copy()
            in_repeated_again[group_starts] = False
            covered = _covered(order[in_repeated_again], size, len(table.hashes))
            inside = np.concatenate(
                [np.zeros(1, np.int64), np.cumsum(np.where(covered, table.lengths, 0))]
            )
            shares[size] = np.diff(inside[table.bounds]) / text_lengths
        places = np.sort(order[in_repeated])
    return shares


def _groups(
    keys: NDArray[np.uint64], places: Places, *, stable: bool
) -> tuple[Places, NDArray[np.int64]]:
    """Places in the order of their keys, and how many share each key."""
    by_key = np.argsort(keys, kind="stable" if stable else None)
    in_order = keys[by_key]
    edges = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1], [True]]))
    return places[by_key], np.diff(edges)


def _covered(starts: Places, size: int, num_words: int) -> NDArray[np.bool_]:
    steps = np.zeros(num_words + 1, dtype=np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + size, -1)
    return np.cumsum(steps[:-1]) > 0
