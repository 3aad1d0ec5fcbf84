"""Who stays of a group of rivals: the first in the order of rank, then of a hash of the text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilmac.corpus.dedup.sketch import SKETCH_BYTES, similarity

MAX_STAYING = 64  # of a cluster, that a further member is compared with

_FIELDS = [("key", "<u8"), ("group", "<u8"), ("rank", "<u8"), ("tie", "<u8"), ("document", "<i8")]
RIVAL = np.dtype(_FIELDS)
SKETCHED_RIVAL = np.dtype([*_FIELDS, ("sketch", "u1", (SKETCH_BYTES,))])

Rivals = NDArray[Any]  # rows of one of the two


def settle_equals(rivals: Rivals) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of each group one stays: (documents that go, documents that stay for them)."""
    rivals = _in_order(rivals)
    is_first = _begins_group(rivals)
    stays = rivals["document"][np.flatnonzero(is_first)][np.cumsum(is_first) - 1]
    yield rivals["document"][~is_first], stays[~is_first]


def settle_clusters(
    rivals: Rivals, min_similarity: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of each group those stay that resemble no better one that stays."""
    rivals = _in_order(rivals)
    bounds = [*np.flatnonzero(_begins_group(rivals)), len(rivals)]
    for start, end in pairwise(bounds):
        if end - start > 1:
            yield _settle_cluster(rivals[start:end], min_similarity)


def _settle_cluster(
    members: Rivals, min_similarity: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sketches = members["sketch"]
    staying_for = np.full(len(members), -1)
    undecided = np.arange(len(members))
    for _ in range(MAX_STAYING):
        if not len(undecided):
            break
        best, others = undecided[0], undecided[1:]
        is_near = similarity(sketches[best], sketches[others]) >= min_similarity
        staying_for[others[is_near]] = best
        undecided = others[~is_near]
    gone = np.flatnonzero(staying_for >= 0)
    documents = members["document"]
    return documents[gone], documents[staying_for[gone]]


def _in_order(rivals: Rivals) -> Rivals:
    """Groups together, the best first. Equal texts are told apart by their number alone."""
    order = np.lexsort(
        (rivals["document"], rivals["tie"], ~rivals["rank"], rivals["group"], rivals["key"])
    )
    return rivals[order]


def _begins_group(rivals: Rivals) -> NDArray[np.bool_]:
    same = (rivals["key"][1:] == rivals["key"][:-1]) & (rivals["group"][1:] == rivals["group"][:-1])
    return np.concatenate([np.ones(min(1, len(rivals)), np.bool_), ~same])
