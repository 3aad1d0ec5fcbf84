"""Intervals by bootstrap (Efron 1979): how much a figure hangs on which items were asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NUM_RESAMPLES = 2000
MAX_DRAWS = 4_000_000  # indices in memory at once


def ratio(values: Sequence[float], weights: Sequence[float]) -> float:
    """Sum of the values over the sum of the weights: a mean where every weight is 1."""
    return float(sum(values) / sum(weights))


def bootstrap_interval(
    values: Sequence[float], weights: Sequence[float], *, seed: int
) -> tuple[float, float]:
    """95 % percentile interval of `ratio(values, weights)`, items drawn with replacement.

    For two models on the same items give the differences: the interval is then a paired one. Where
    all items are the same (all right, all wrong) the interval has no width, however few they are.
    """
    value, weight = np.asarray(values, float), np.asarray(weights, float)
    random = np.random.default_rng(seed)
    rows = max(1, MAX_DRAWS // len(value))
    found = []
    for begin in range(0, NUM_RESAMPLES, rows):
        size = (min(rows, NUM_RESAMPLES - begin), len(value))
        drawn = random.integers(len(value), size=size)
        found.append(value[drawn].sum(1) / weight[drawn].sum(1))
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    return float(low), float(high)
