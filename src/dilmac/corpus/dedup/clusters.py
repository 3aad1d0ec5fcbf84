"""`clusters.jsonl.zst`: which documents were taken for the same, and which of them stayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilmac.core import JsonlWriter
from dilmac.corpus.dedup.about import About
from dilmac.corpus.dedup.buckets import BUCKET_ROWS, in_buckets
from dilmac.corpus.dedup.duplicates import KEPT, REASONS, Verdicts
from dilmac.corpus.run.workfolder import WorkFolder

MAX_SHOWN = 50  # members of a cluster that are named; `size` counts all
EXAMPLES = 20  # clusters in the report

_MEMBER = np.dtype([("key", "<u8"), ("kept_by", "<i8"), ("document", "<i8"), ("verdict", "u1")])


def write_clusters(work: WorkFolder, verdicts: Verdicts, path: Path) -> list[dict[str, Any]]:
    """Write every cluster, by its kept document's number; returns the first ones."""
    examples: list[dict[str, Any]] = []
    count = len(verdicts.verdict)
    writer = JsonlWriter(path)
    if count:
        with closing(About(work)) as about:
            for bucket in in_buckets(_members(verdicts), count, work.path / "dedup"):
                members = bucket[np.lexsort((bucket["document"], bucket["kept_by"]))]
                bounds = np.flatnonzero(np.diff(members["kept_by"], prepend=-1, append=-1))
                for start, end in pairwise(bounds):
                    cluster = _cluster(about, members[start : min(end, start + MAX_SHOWN)])
                    cluster["size"] = int(end - start) + 1
                    writer.write(cluster)
                    if len(examples) < EXAMPLES:
                        examples.append(cluster)
    writer.close()
    return examples


def _members(verdicts: Verdicts) -> Iterator[NDArray[Any]]:
    count = len(verdicts.verdict)
    step = np.uint64(((1 << 64) - 1) // max(1, count))
    for start in range(0, count, BUCKET_ROWS):
        verdict = verdicts.verdict[start : start + BUCKET_ROWS]
        gone = np.flatnonzero(verdict != KEPT)
        rows = np.empty(len(gone), dtype=_MEMBER)
        rows["kept_by"] = verdicts.kept_by[start + gone]
        rows["key"] = rows["kept_by"].astype(np.uint64) * step
        rows["document"] = start + gone
        rows["verdict"] = verdict[gone]
        yield rows


def _cluster(about: About, members: NDArray[Any]) -> dict[str, Any]:
    return {
        "kept": about[int(members["kept_by"][0])],
        "size": 0,
        "others": [
            {**about[int(member["document"])], "reason": REASONS[member["verdict"]]}
            for member in members
        ],
    }
