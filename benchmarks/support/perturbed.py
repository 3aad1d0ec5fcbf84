"""Any amount of Turkish-like text, made from real documents by changing words.

Copies of real documents would vanish at deduplication, and text made of random words passes no
quality rule. So each document keeps its layout (lines, punctuation, its repetitions) and about
35 % of its different words are changed, each for a word of the same file, of the same shape
(lower case, capitalized, upper case, digits) and of about the same frequency, the same one
throughout the document. Two documents of one origin then share about 1 % of their word 5-grams.

Of the documents 5 % are near-duplicates of an earlier one (2 % of its words changed: Jaccard about
0.82 over word 5-grams) and 2 % exact copies. Ids tell: `p7`, `p7~near9`, `p7~copy12`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from dilmac.core import read_measured_texts

CHANGED_TYPES = 0.35
NEAR_DUPLICATES, COPIES = 0.05, 0.02
CHANGED_IN_NEAR_DUPLICATE = 0.02
MAX_BYTES_PER_FILE = 2_000_000  # of a file's text; more variety is bought by changing words
_WORD = re.compile(r"(\w+(?:['’]\w+)*)")

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Written:
    """What `write_perturbed` wrote; sizes in bytes of UTF-8 text."""

    documents: int
    text_bytes: int
    near_duplicates: int
    copies: int


@dataclass(frozen=True)
class _Original:
    """A real document: the words as ids of its file's vocabulary, and what stands between them."""

    vocabulary: _Vocabulary
    types: Ids  # [types]
    places: Ids  # [words] index into types
    between: NDArray[Any]  # [words + 1]

    def perturbed(self, random: np.random.Generator) -> Ids:
        """Word ids of a variant [words]."""
        is_changed = random.random(len(self.types)) < CHANGED_TYPES
        types = np.where(is_changed, self.vocabulary.others(self.types, random), self.types)
        return types[self.places]

    def near_duplicate(self, words: Ids, random: np.random.Generator) -> Ids:
        is_changed = random.random(len(words)) < CHANGED_IN_NEAR_DUPLICATE
        return np.where(is_changed, self.vocabulary.others(words, random), words)

    def text(self, words: Ids) -> str:
        pieces = np.empty(2 * len(words) + 1, dtype=object)
        pieces[0::2] = self.between
        pieces[1::2] = self.vocabulary.words[words]
        return "".join(pieces.tolist())


class _Vocabulary:
    """Words of a file, by shape and falling frequency."""

    def __init__(self, counts: Counter[str]):
        ranked = sorted(counts, key=lambda word: (_shape(word), -counts[word], word))
        self.words = np.array(ranked, dtype=object)
        self.ids = {word: number for number, word in enumerate(ranked)}
        shapes = np.array([_shape(word) for word in ranked])
        first = np.searchsorted(shapes, shapes, side="left")
        last = np.searchsorted(shapes, shapes, side="right") - 1
        rank = np.arange(len(ranked)) - first
        self._low = first + rank // 2
        self._high = np.minimum(first + 2 * rank + 8, last)

    def others(self, words: Ids, random: np.random.Generator) -> Ids:
        """Words of about the same frequency in place of `words`."""
        low, high = self._low[words], self._high[words]
        return low + (random.random(len(words)) * (high - low + 1)).astype(np.int64)


def _shape(word: str) -> int:
    if word[0].isdigit():
        return 0
    if word.islower():
        return 1
    return 2 if word[1:].islower() else 3


def write_perturbed(
    paths: Iterable[str | Path], target_bytes: int, out_path: Path, seed: int = 42
) -> Written:
    """Write JSONL, packed with zstd at level 1, of `target_bytes` of text or a document more.

    The same paths and seed give the same documents: a smaller target is a beginning of a larger
    one. Memory holds the sources (2 MB of each) and no output.
    """
    originals = [original for path in paths for original in _originals(path)]
    order = np.random.default_rng(seed).permutation(len(originals))
    pick = np.random.default_rng([seed, 1])
    made: list[int] = []  # ordinals of documents that are neither copies nor near-duplicates
    ordinal = near = copies = text_bytes = 0

    def variant(number: int) -> tuple[_Original, Ids]:
        original = originals[order[number % len(order)]]
        return original, original.perturbed(np.random.default_rng([seed, 2, number]))

    with out_path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as out:
        while text_bytes < target_bytes:
            draw = pick.random()
            if made and draw < COPIES + NEAR_DUPLICATES:
                number = int(made[pick.integers(len(made))])
                original, words = variant(number)
                if draw < COPIES:
                    copies, kind = copies + 1, "copy"
                else:
                    near, kind = near + 1, "near"
                    words = original.near_duplicate(words, pick)
                name = f"p{number}~{kind}{ordinal}"
            else:
                original, words = variant(ordinal)
                made.append(ordinal)
                name = f"p{ordinal}"
            text = original.text(words)
            line = json.dumps({"id": name, "text": text}, ensure_ascii=False)
            out.write(line.encode() + b"\n")
            text_bytes += len(text.encode())
            ordinal += 1
    return Written(ordinal, text_bytes, near, copies)


def _originals(path: str | Path) -> Iterator[_Original]:
    texts = read_measured_texts([path], max_bytes=MAX_BYTES_PER_FILE)
    divided = [_WORD.split(text) for text in texts]
    counts = Counter(word for parts in divided for word in parts[1::2])
    vocabulary = _Vocabulary(counts)
    for parts in divided:
        words = np.array([vocabulary.ids[word] for word in parts[1::2]], dtype=np.int64)
        types, places = np.unique(words, return_inverse=True)
        between = np.array(parts[0::2], dtype=object)
        yield _Original(vocabulary, types, places, between)
