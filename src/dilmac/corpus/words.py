"""Many texts as one table of words: hashes and places of all words of a batch, made at once.

Quality measures, deduplication and decontamination count words and runs of words (n-grams). Done
word by word in Python this costs more than all other steps together; over arrays it is about
ten times quicker (`benchmarks/corpus_speed.py`). A word is a run of letters, digits and combining
marks; case, spacing, punctuation and the marks on Turkish letters do not count, so that a copy
written in ASCII ("cok guzel") has the words of its original.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dilmac.turkish import fold, lower

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

BREAK = 0x0A  # stands between the texts of a table
WORD, ALPHA, SPACE, STOP, UPPER = (np.uint8(1 << bit) for bit in range(5))
STOPS = frozenset(".!?…:;\"'”’)»")  # what a finished line ends with
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2^64
_INVERSE = np.uint64(pow(int(_FACTOR), -1, 1 << 64))
_TABLE_SIZE = 0x10000  # letters beyond the basic plane stand as themselves


@dataclass(frozen=True)
class WordTable:
    """Words of a batch of texts, in order.

    Attributes:
        hashes: [words] of each word in lower case, folded to ASCII.
        starts, ends: [words] places in `codes`.
        bounds: [texts + 1] text i has the words `bounds[i]:bounds[i + 1]`.
        codes: [characters] code points of all texts, a line break after each.
        kinds: [characters] bits of what a character is: WORD, ALPHA, SPACE, STOP, UPPER.
        text_starts: [texts + 1] place of each text in `codes`.
        prefix: [characters + 1] running hash, from which any stretch's hash is told.
        powers: [characters + 1] of the inverse factor, see `stretch_hashes`.
    """

    hashes: Hashes
    starts: Places
    ends: Places
    bounds: Places
    codes: NDArray[np.uint32]
    kinds: NDArray[np.uint8]
    text_starts: Places
    prefix: Hashes
    powers: Hashes

    @property
    def lengths(self) -> Places:
        """Characters of each word [words]."""
        return self.ends - self.starts

    @property
    def text_lengths(self) -> Places:
        """Characters of each text [texts]."""
        return np.diff(self.text_starts) - 1

    @property
    def text_of_word(self) -> Places:
        """Which text a word belongs to [words]."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))

    def stretch_hashes(self, starts: Places, ends: Places) -> Hashes:
        """Hash of the characters `starts:ends`, alike wherever they stand, case apart."""
        return mix((self.prefix[ends] - self.prefix[starts]) * self.powers[starts])


def word_table(texts: Sequence[str]) -> WordTable:
    """Table of a batch of texts, none of which holds a lone surrogate."""
    joined = "\n".join(texts) + "\n"
    codes = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
    lowered, kinds = _read_letters(codes)
    prefix, powers = _prefix_hashes(lowered)
    edges = np.flatnonzero(np.diff(kinds & WORD, prepend=np.uint8(0), append=np.uint8(0)))
    starts, ends = edges[::2], edges[1::2]
    hashes = mix((prefix[ends] - prefix[starts]) * powers[starts])
    sizes = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1
    text_starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    bounds = np.searchsorted(starts, text_starts)
    return WordTable(hashes, starts, ends, bounds, codes, kinds, text_starts, prefix, powers)


def tables(texts: Sequence[str], characters: int = 250_000) -> Iterator[tuple[int, WordTable]]:
    """Tables over consecutive texts, with the place of each table's first text.

    A table of 250,000 characters stays near the processor's cache: 95 MB/s against 80 at a million.
    """
    first, size = 0, 0
    for place, text in enumerate(texts):
        size += len(text)
        if size >= characters:
            yield first, word_table(texts[first : place + 1])
            first, size = place + 1, 0
    if first < len(texts):
        yield first, word_table(texts[first:])


def hash_words(words: Sequence[str]) -> Hashes:
    """Hashes of single words, as they stand in a table."""
    return word_table(words).hashes


def mix(values: Hashes) -> Hashes:
    """Spread every bit over all (splitmix64's finalizer; Steele et al. 2014)."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def ngram_hashes(hashes: Hashes, size: int) -> Hashes:
    """Hash of each run of `size` words [words - size + 1]; runs may cross texts."""
    num_runs = max(0, len(hashes) - size + 1)
    result = np.zeros(num_runs, dtype=np.uint64)
    for offset in range(size):
        result = result * _FACTOR + hashes[offset : offset + num_runs]
    return mix(result)


def _prefix_hashes(codes: NDArray[np.uint32]) -> tuple[Hashes, Hashes]:
    # Sum of code x factor^place, modulo 2^64: the difference of two sums, taken back to place 0
    # by the inverse factor, is the stretch's own polynomial hash.
    powers = _powers(len(codes) + 1, int(_FACTOR))
    prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint64(1)) * powers[: len(codes)], out=prefix[1:])
    return prefix, _powers(len(codes) + 1, int(_INVERSE))


_POWERS: dict[int, Hashes] = {}


def _powers(count: int, factor: int) -> Hashes:
    known = _POWERS.get(factor)
    if known is None or len(known) < count:
        size = 1 << max(16, (count - 1).bit_length())
        known = np.full(size, np.uint64(factor))
        known[0] = 1
        np.cumprod(known, out=known)
        if size <= 1 << 20:  # kept between batches, let go after a giant text
            _POWERS[factor] = known
    return known[:count]


def _read_letters(codes: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    lower_of, kind_of = _letter_tables()
    inside = np.minimum(codes, _TABLE_SIZE - 1)
    lowered, kinds = lower_of[inside], kind_of[inside]
    beyond = np.flatnonzero(codes >= _TABLE_SIZE)
    if len(beyond):
        lowered[beyond] = codes[beyond]
        kinds[beyond] = [_kind(chr(code)) for code in codes[beyond]]
    return lowered, kinds


def _kind(character: str) -> int:
    is_word = character.isalnum() or unicodedata.category(character) == "Mn"
    return int(
        WORD * is_word
        | ALPHA * character.isalpha()
        | SPACE * character.isspace()
        | STOP * (character in STOPS)
        | UPPER * character.isupper()
    )


@cache
def _letter_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Folded lower case and kind of each code point of the basic plane."""
    characters = "".join(map(chr, range(_TABLE_SIZE)))
    lowered = fold(lower(characters))  # letter by letter: none grows in lower case
    codes = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return codes, np.array([_kind(character) for character in characters], dtype=np.uint8)
