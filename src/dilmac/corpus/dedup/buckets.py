"""Sorting outside memory: rows are dealt into buckets by the high bits of their key.

Rows of equal key land in one bucket, and a bucket fits in memory: with `BUCKET_ROWS` rows of 40
bytes and what sorting needs beside them about 250 MB, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUCKET_ROWS = 2 << 20

Rows = NDArray[Any]  # structured, with a field `key` of 64 bits


def in_buckets(parts: Iterable[Rows], num_rows: int, folder: Path) -> Iterator[Rows]:
    """All rows of the parts, bucket by bucket in the order of their keys' high bits.

    `num_rows` is how many are to be expected, evenly spread over the 64 bits of the key.
    """
    bits = max(0, (num_rows // BUCKET_ROWS).bit_length())
    if not bits:
        rows = list(parts)
        if rows:
            yield np.concatenate(rows)
        return
    files = [folder / f"bucket-{number:04d}.bin" for number in range(1 << bits)]
    kind = _deal(parts, files, bits)
    for path in files:
        yield np.fromfile(path, dtype=kind)
        path.unlink()


def _deal(parts: Iterable[Rows], files: list[Path], bits: int) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype([("key", "<u8")])
    with ExitStack() as stack:
        handles = [stack.enter_context(path.open("wb")) for path in files]
        for rows in parts:
            kind = rows.dtype
            bucket = (rows["key"] >> np.uint64(64 - bits)).astype(np.int64)
            order = np.argsort(bucket, kind="stable")
            bounds = np.searchsorted(bucket[order], np.arange(len(files) + 1))
            for number, (start, end) in enumerate(pairwise(bounds)):
                rows[order[start:end]].tofile(handles[number])
    return kind
