"""Rows dealt into buckets outside memory are the rows that came in."""

from pathlib import Path

import numpy as np
import pytest

from dilmac.corpus.dedup import buckets

ROW = np.dtype([("key", "<u8"), ("document", "<i8")])


def rows(count: int, seed: int) -> np.ndarray:
    values = np.zeros(count, dtype=ROW)
    values["key"] = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)
    values["key"][: count // 3] = values["key"][count // 3 : 2 * (count // 3)]
    values["document"] = np.arange(count) + seed * count
    return values


@pytest.mark.parametrize("bucket_rows", [10, 100, 10_000])
def test_every_row_comes_out_once_and_equal_keys_together(
    bucket_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "BUCKET_ROWS", bucket_rows)
    parts = [rows(300, seed) for seed in range(4)]
    found = list(buckets.in_buckets(iter(parts), 1200, tmp_path))
    assert (len(found) > 1) == (bucket_rows < 1200)
    together = np.sort(np.concatenate(found), order="document")
    np.testing.assert_array_equal(together, np.concatenate(parts))
    keys = [set(bucket["key"].tolist()) for bucket in found]
    assert sum(map(len, keys)) == len(set().union(*keys))
    assert not list(tmp_path.iterdir())


def test_no_part_is_no_bucket(tmp_path: Path) -> None:
    assert list(buckets.in_buckets(iter([]), 0, tmp_path)) == []
