"""Union-find over arrays: which numbers belong together, given pairs (Tarjan 1975)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def join(parent: Numbers, left: Numbers, right: Numbers) -> None:
    """Join each `left[i]` with `right[i]`; `parent` [numbers] begins as 0, 1, 2, …

    The root of a set is its smallest number, so the result does not depend on the pairs' order.
    """
    while len(left):
        left, right = find(parent, left), find(parent, right)
        differ = left != right
        left, right = left[differ], right[differ]
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))


def find(parent: Numbers, numbers: Numbers) -> Numbers:
    """Root of the set of each number; what was climbed is remembered."""
    while True:
        roots = parent[parent[numbers]]
        if np.array_equal(roots, parent[numbers]):
            return roots
        parent[numbers] = roots  # halves the way: chains cost a logarithm of their length
