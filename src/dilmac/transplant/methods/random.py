"""Rows drawn at random: the floor that every other method must be above.

row ~ N(mean of the old rows, their variance), for every dimension by itself
"""

from __future__ import annotations

import torch

from dilmac.transplant.registry import Role, Rows, Wanted, register

CHUNK_ROWS = 1024  # in the processor's cache, and exact enough in float32: 8 times as fast


@register("random", source="the distribution of the old rows; the usual baseline")
def random(wanted: Wanted, role: Role) -> Rows:
    """Draw every row; which ones does not depend on the order in which they are asked for."""
    seed = 2 * wanted.seed + (role == "output")
    known: list[tuple[torch.Tensor, torch.Tensor]] = []

    def rows(table: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        if not known:
            known.append(statistics(table))
        mean, spread = known[0]
        made = torch.empty(len(wanted.rows[start:stop]), table.shape[1])
        for place, row in enumerate(wanted.rows[start:stop]):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + row)
            made[place] = mean + spread * torch.randn(table.shape[1], generator=generator)
        return made

    return rows


def statistics(table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each dimension over all rows, [width] each, float32."""
    total = torch.zeros(table.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for start in range(0, len(table), CHUNK_ROWS):
        rows = table[start : start + CHUNK_ROWS].float()
        total += rows.sum(0)
        squares += rows.square().sum(0)
    mean = total / len(table)
    variance = (squares / len(table) - mean.square()).clamp(min=0)
    return mean.float(), variance.sqrt().float()
