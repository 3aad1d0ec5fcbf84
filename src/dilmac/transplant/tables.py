"""The rows of a new table, some at a time: copied bit for bit, made, or silent."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dilmac.transplant.methods.random import statistics
from dilmac.transplant.plan import Origin, Plan
from dilmac.transplant.registry import Role, Rows

CHUNK_ROWS = 4096  # in memory at once, as float32: 64 MB of a model 4,096 wide


def new_rows(plan: Plan, made: Rows, table: torch.Tensor, role: Role) -> Iterator[torch.Tensor]:
    """Chunks [rows, width] of the new table, in the old one's type and in order.

    Rows that are not to be generated are zero in the head: their logit is zero, and where a word is
    expected others are far above that. A control token that the old vocabulary has nothing like
    gets the mean of all rows (Hewitt 2021), which changes the others' probabilities least.
    """
    mean = torch.zeros(table.shape[1], dtype=table.dtype)
    if Origin.FRESH in plan.origins:
        mean = statistics(table)[0].to(table.dtype)
    place_of = {row: place for place, row in enumerate(plan.rows_of(Origin.COMPOSED))}
    for start in range(0, plan.num_rows, CHUNK_ROWS):
        rows = range(start, min(start + CHUNK_ROWS, plan.num_rows))
        if not any(is_silent(plan, row, role) for row in rows) and (run := _run_of(plan, rows)):
            yield table[run.start : run.stop]  # no number of it need be touched
            continue
        chunk = torch.zeros(len(rows), table.shape[1], dtype=table.dtype)
        copied = [row for row in rows if plan.origins[row] in (Origin.COPIED, Origin.ROLE)]
        chunk[_from(start, copied)] = table[[plan.parts[row][0] for row in copied]]
        chunk[_from(start, [row for row in rows if plan.origins[row] is Origin.FRESH])] = mean
        if composed := [row for row in rows if row in place_of]:
            first, last = place_of[composed[0]], place_of[composed[-1]]
            chunk[_from(start, composed)] = made(table, first, last + 1).to(table.dtype)
        chunk[_from(start, [row for row in rows if is_silent(plan, row, role)])] = 0
        yield chunk


def _run_of(plan: Plan, rows: range) -> range | None:
    """The old rows, where all of these are copied and stood in one run."""
    if any(plan.origins[row] not in (Origin.COPIED, Origin.ROLE) for row in rows):
        return None
    first = plan.parts[rows[0]][0]
    run = range(first, first + len(rows))
    return run if [plan.parts[row][0] for row in rows] == list(run) else None


def is_silent(plan: Plan, row: int, role: Role) -> bool:
    """Whether a row of that table is zero: one of the head that is not to be generated.

    A tied table is read as well; there only what is never read is zero.
    """
    if role == "input":
        return plan.origins[row] is Origin.IDLE
    return not (plan.read[row] if role == "tied" else plan.spoken[row])


def _from(start: int, rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.long) - start
