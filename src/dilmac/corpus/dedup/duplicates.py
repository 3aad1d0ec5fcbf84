"""Deduplication of a whole corpus from its sketches: who stays, and in place of whom.

Exact duplicates first. What is left and meets in a band is joined to clusters (connected
components), and of each the member of the greatest rank stays; the others go where they resemble
one that stays, so a chain of small differences drops no text unlike all that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.dedup.buckets import BUCKET_ROWS, in_buckets
from dilmac.corpus.dedup.join import find, join
from dilmac.corpus.dedup.settle import RIVAL, SKETCHED_RIVAL, Rivals, settle_clusters, settle_equals
from dilmac.corpus.run.workfolder import WorkFolder

KEPT, DUPLICATE, NEAR_DUPLICATE = 0, 1, 2
REASONS = ("", "duplicate", "near_duplicate")

_MEETING = np.dtype([("key", "<u8"), ("document", "<i8")])

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Verdicts:
    """What deduplication says of every document, numbered through all parts.

    Attributes:
        verdict: [documents] KEPT, DUPLICATE or NEAR_DUPLICATE.
        kept_by: [documents] number of the document that stays in place of this one.
    """

    verdict: NDArray[np.uint8]
    kept_by: Numbers

    def drop(self, gone: Numbers, stays: Numbers, reason: int) -> None:
        """Note that documents go, and who stays for each."""
        self.verdict[gone] = reason
        self.kept_by[gone] = stays


def number_documents(work: WorkFolder) -> dict[str, int]:
    """Number of each part's first document, and under "" how many there are."""
    first_of, count = {}, 0
    for part in work.parts():
        first_of[part] = count
        count += work.facts("clean", part)["documents"]
    return first_of | {"": count}


def find_duplicates(work: WorkFolder, config: CorpusConfig) -> Verdicts:
    """Compare all sketches of a corpus; the verdicts lie in `dedup/`, each in a file."""
    folder = work.path / "dedup"
    folder.mkdir(exist_ok=True)
    first_of = number_documents(work)
    count = first_of.pop("")
    verdicts = Verdicts(
        _file_array(folder / "verdict.npy", np.uint8, count),
        _counting_up(folder / "kept_by.npy", count),
    )
    equals = (_equal_rivals(work, part, first, verdicts) for part, first in first_of.items())
    for rivals in in_buckets(equals, count, folder):
        for gone, stays in settle_equals(rivals):
            verdicts.drop(gone, stays, DUPLICATE)
    if config.near_duplicates:
        clusters = _counting_up(folder / "clusters.npy", count)
        for band in range(config.bands):
            meetings = (
                _meetings(work, part, first, band, verdicts, clusters=clusters)
                for part, first in first_of.items()
            )
            for bucket in in_buckets(meetings, count, folder):
                join(clusters, *_pairs(bucket))
        _settle_near(work, first_of, clusters, verdicts, config)
    _follow(verdicts.kept_by)
    verdicts.verdict.flush()  # type: ignore[attr-defined]  # for other machines
    verdicts.kept_by.flush()  # type: ignore[attr-defined]
    return verdicts


def open_verdicts(work: WorkFolder) -> Verdicts:
    """The verdicts that `find_duplicates` wrote."""
    folder = work.path / "dedup"
    return Verdicts(
        np.load(folder / "verdict.npy", mmap_mode="r"),
        np.load(folder / "kept_by.npy", mmap_mode="r"),
    )


def _settle_near(
    work: WorkFolder,
    first_of: dict[str, int],
    clusters: Numbers,
    verdicts: Verdicts,
    config: CorpusConfig,
) -> None:
    path = work.path / "dedup" / "shared.npy"
    is_shared = _in_company(clusters, verdicts, _file_array(path, np.bool_, len(clusters)))
    rows = (
        _cluster_rivals(work, part, first, clusters, is_shared) for part, first in first_of.items()
    )
    num_rows = int(np.count_nonzero(is_shared))
    for rivals in in_buckets(rows, 4 * num_rows, work.path / "dedup"):  # four times as wide
        for gone, stays in settle_clusters(rivals, config.min_similarity):
            verdicts.drop(gone, stays, NEAR_DUPLICATE)


def _follow(kept_by: Numbers) -> None:
    """Who stays for a document may have gone itself: in its part, in the corpus, for a near one."""
    for _ in range(3):
        for start in range(0, len(kept_by), BUCKET_ROWS):
            place = slice(start, start + BUCKET_ROWS)
            kept_by[place] = kept_by[kept_by[place]]


def _in_company(
    clusters: Numbers, verdicts: Verdicts, is_shared: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which kept documents share their cluster with another one [documents]."""
    for start in range(0, len(clusters), BUCKET_ROWS):
        numbers = np.arange(start, min(len(clusters), start + BUCKET_ROWS))
        roots = find(clusters, numbers)
        joined = roots != numbers
        is_shared[numbers[joined]] = True
        is_shared[roots[joined]] = True
    for start in range(0, len(clusters), BUCKET_ROWS):
        place = slice(start, start + BUCKET_ROWS)
        is_shared[place] &= verdicts.verdict[place] == KEPT
    return is_shared


def _file_array(path: Path, kind: Any, count: int) -> Any:
    """An array of zeros that lies in a file and is paged in and out by the system."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(count,))


def _counting_up(path: Path, count: int) -> Numbers:
    numbers: Numbers = _file_array(path, np.int64, count)
    for start in range(0, count, BUCKET_ROWS):
        end = min(count, start + BUCKET_ROWS)
        numbers[start:end] = np.arange(start, end)
    return numbers


def _column(work: WorkFolder, part: str, name: str) -> Any:
    with np.load(work.file("sketch", part, "npz")) as arrays:
        return arrays[name]


def _equal_rivals(work: WorkFolder, part: str, first: int, verdicts: Verdicts) -> Rivals:
    """One of each group of equals in a part, so that millions of copies do not fill a bucket."""
    exact = _column(work, part, "exact")
    rows = np.empty(len(exact), dtype=RIVAL)
    rows["key"], rows["group"] = exact[:, 0], exact[:, 1]
    rows["rank"], rows["tie"] = _column(work, part, "rank"), _column(work, part, "tie")
    rows["document"] = np.arange(first, first + len(exact))
    for gone, stays in settle_equals(rows):
        verdicts.drop(gone, stays, DUPLICATE)
    left: Rivals = rows[verdicts.verdict[first : first + len(rows)] == KEPT]
    return left


def _cluster_rivals(
    work: WorkFolder, part: str, first: int, clusters: Numbers, is_shared: NDArray[np.bool_]
) -> Rivals:
    places = np.flatnonzero(is_shared[first : first + work.facts("clean", part)["documents"]])
    rows = np.empty(len(places), dtype=SKETCHED_RIVAL)
    rows["group"] = find(clusters, first + places)
    # Clusters in the order of their first documents, spread over the bits of the key.
    rows["key"] = rows["group"] * np.uint64(((1 << 64) - 1) // max(1, len(clusters)))
    for name in ("rank", "tie", "sketch"):
        rows[name] = _column(work, part, name)[places]
    rows["document"] = first + places
    return rows


def _meetings(
    work: WorkFolder,
    part: str,
    first: int,
    band: int,
    verdicts: Verdicts,
    *,
    clusters: Numbers,
) -> NDArray[Any]:
    """One of those that meet in a part; the others are joined with it at once."""
    keys = _column(work, part, f"band{band}")
    rows = np.empty(len(keys), dtype=_MEETING)
    rows["key"] = keys
    rows["document"] = np.arange(first, first + len(keys))
    kept: NDArray[Any] = rows[verdicts.verdict[first : first + len(keys)] == KEPT]
    join(clusters, *_pairs(kept))
    one_of_each: NDArray[Any] = kept[np.unique(kept["key"], return_index=True)[1]]
    return one_of_each


def _pairs(meetings: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Documents that meet, each with the first one there."""
    meetings = meetings[np.argsort(meetings["key"], kind="stable")]
    same = meetings["key"][1:] == meetings["key"][:-1]
    is_first = np.concatenate([np.ones(min(1, len(meetings)), np.bool_), ~same])
    first = meetings["document"][np.flatnonzero(is_first)][np.cumsum(is_first) - 1]
    return first[~is_first], meetings["document"][~is_first]
