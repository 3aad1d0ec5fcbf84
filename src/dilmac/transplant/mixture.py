"""Rows as weighted sums of old rows: what every method but drawing at random makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F

MAX_PARTS = 16_384  # whose rows are in memory as float32: 256 MB of a model 4,096 wide


@dataclass(frozen=True)
class Mixture:
    """`parts[i]` are the old rows of the i-th wanted one, `weights[i]` how much of each."""

    parts: Sequence[Sequence[int]]
    weights: Sequence[Sequence[float]]

    def __call__(self, table: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Wanted rows `start` to `stop`, [rows, width], float32, from a table [old rows, width]."""
        rows = [self._some(table, *part) for part in self._slices(start, stop)]
        return torch.cat(rows) if rows else torch.zeros(0, table.shape[1])

    def _slices(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Ranges with a bounded number of parts each: what they name becomes float32 at once."""
        first, size = start, 0
        for row in range(start, min(stop, len(self.parts))):
            size += len(self.parts[row])
            if size > MAX_PARTS and row > first:
                yield first, row
                first, size = row, len(self.parts[row])
        if first < min(stop, len(self.parts)):
            yield first, min(stop, len(self.parts))

    def _some(self, table: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        parts, weights = self.parts[start:stop], self.weights[start:stop]
        flat = torch.tensor([old for row in parts for old in row], dtype=torch.long)
        shares = torch.tensor([share for row in weights for share in row], dtype=torch.float32)
        offsets = torch.tensor([0, *accumulate(map(len, parts))][:-1], dtype=torch.long)
        # Only the rows that are used become float32: the table may be on a disk.
        used, places = flat.unique(return_inverse=True)
        rows = table[used].float()
        if not len(used):
            return torch.zeros(len(parts), table.shape[1])
        made: torch.Tensor = F.embedding_bag(
            places, rows, offsets, mode="sum", per_sample_weights=shares
        )
        return made


def mixed(parts: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]) -> Mixture:
    """A mixture whose weights are scaled to sum to one, row by row."""
    scaled = [[share / sum(row) for share in row] for row in weights]
    return Mixture(parts, scaled)


Decompositions = Sequence[Sequence[tuple[Sequence[int], float]]]


def composed(
    decompositions: Decompositions, weigh: Callable[[Sequence[int]], Sequence[float]]
) -> Mixture:
    """Rows of their parts: `weigh` says how much of each part, a decomposition's share the rest.

    Each row has one decomposition or several (parts, share).
    """
    parts: list[list[int]] = []
    weights: list[list[float]] = []
    for ways in decompositions:
        row_parts: list[int] = []
        row_weights: list[float] = []
        for way, share in ways:
            each = weigh(way)
            scale = share / sum(each)
            row_parts += way
            row_weights += [weight * scale for weight in each]
        parts.append(row_parts)
        weights.append(row_weights)
    return mixed(parts, weights)
