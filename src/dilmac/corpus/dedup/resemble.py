"""Texts in memory that are nearly another text: the sketches of deduplication, compared at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.dedup.sketch import SKETCH_BYTES, band_hashes, min_hashes, similarity
from dilmac.corpus.words import mix, tables

_DEFAULTS = CorpusConfig.model_fields
BANDS: int = _DEFAULTS["bands"].default
HASHES_PER_BAND: int = _DEFAULTS["hashes_per_band"].default
MIN_SIMILARITY: float = _DEFAULTS["min_similarity"].default
# A text of fewer words has so few runs of five that one common phrase makes two of them alike.
MIN_WORDS = 10


@dataclass(frozen=True)
class TextSketches:
    """What is compared of texts, 290 bytes each.

    bands: [bands, texts], sketch: [texts, 128], is_long: [texts] of bool, `MIN_WORDS` at least.
    """

    bands: NDArray[np.uint64]
    sketch: NDArray[np.uint8]
    is_long: NDArray[np.bool_]


def sketch_texts(texts: Sequence[str], kinds: NDArray[np.uint64] | None = None) -> TextSketches:
    """Sketches of texts, none of which holds a lone surrogate.

    With `kinds` [texts], any numbers, only texts of the same kind are compared.
    """
    bands = [np.zeros((BANDS, 0), np.uint64)]
    sketch = [np.zeros((0, SKETCH_BYTES), np.uint8)]
    is_long = [np.zeros(0, np.bool_)]
    for _, table in tables(texts):
        hashes = min_hashes(table, BANDS * HASHES_PER_BAND)
        bands.append(band_hashes(hashes, BANDS, HASHES_PER_BAND))
        sketch.append(hashes[:, :SKETCH_BYTES].astype(np.uint8))
        is_long.append(np.diff(table.bounds) >= MIN_WORDS)
    met = np.hstack(bands)
    if kinds is not None:
        met ^= mix(kinds)
    return TextSketches(met, np.concatenate(sketch), np.concatenate(is_long))


def nearly_equal(
    ours: TextSketches, theirs: TextSketches | None = None, min_similarity: float = MIN_SIMILARITY
) -> NDArray[np.int64]:
    """For each of our texts the place of one of theirs that it is nearly, or -1 [texts].

    Without `theirs` each text is compared with those before it. Texts of fewer than 10 words are
    nearly no other.
    """
    found = np.full(len(ours.is_long), -1, dtype=np.int64)
    others = ours if theirs is None else theirs
    for ours_band, others_band in zip(ours.bands, others.bands, strict=True):
        places = np.flatnonzero(others.is_long)
        order = places[np.argsort(others_band[places], kind="stable")]
        keys = others_band[order]
        left = np.flatnonzero(ours.is_long & (found < 0))
        first = np.searchsorted(keys, ours_band[left])
        last = np.searchsorted(keys, ours_band[left], side="right")
        for text, start, end in zip(left, first, last, strict=True):
            candidates = order[start:end]
            if theirs is None:
                candidates = candidates[candidates < text]
            found[text] = _most_alike(ours.sketch[text], others.sketch, candidates, min_similarity)
    return found


def _most_alike(
    sketch: NDArray[np.uint8], others: NDArray[np.uint8], candidates: NDArray[Any], least: float
) -> int:
    if not len(candidates):
        return -1
    shares = similarity(sketch, others[candidates])
    best = int(np.argmax(shares))
    return int(candidates[best]) if shares[best] >= least else -1
