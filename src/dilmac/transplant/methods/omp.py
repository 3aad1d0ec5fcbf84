"""A donor's rows rebuilt from shared tokens: orthogonal matching pursuit.

    donor row of t ≈ Σ c_o · donor row of o   (64 greedy steps);   row = Σ c_o · E[o]

The donor is any model that already has the new vocabulary; what it knows of likeness is carried
over by the coefficients, which may be negative and need not sum to one. Atoms are not normalized:
long rows are favored, as in the paper's own code.
"""

from __future__ import annotations

import torch

from dilmac.core import ConfigError, InputError, Steps
from dilmac.models import model_folder
from dilmac.transplant.mixture import Mixture
from dilmac.transplant.registry import Role, Rows, Wanted, register
from dilmac.transplant.sources import open_source

STEPS = 64
CHUNK_ROWS = 256


@register("omp", source="Goddard and Fernandes Neto 2025 (arXiv:2506.06607)", needs=("donor",))
def omp(wanted: Wanted, role: Role) -> Rows:
    """Coefficients in the donor's table of the same role."""
    table, row_of = _donor(wanted, role)
    shared = {row: old for row, old in wanted.plan.shared().items() if row in row_of}
    if not shared:
        raise InputError("shares no token with both vocabularies", where="--donor")
    atoms = table[[row_of[row] for row in shared]].float()
    olds = torch.tensor(list(shared.values()))
    parts, weights = [list(p) for p in wanted.parts], [[1 / len(p)] * len(p) for p in wanted.parts]
    known = [place for place, row in enumerate(wanted.rows) if row in row_of]
    with Steps("omp", total=len(known), unit="rows") as progress:
        for start in range(0, len(known), CHUNK_ROWS):
            places = known[start : start + CHUNK_ROWS]
            goals = table[[row_of[wanted.rows[place]] for place in places]].float()
            chosen, shares = pursue(goals, atoms, min(STEPS, len(atoms), table.shape[1]))
            for place, row, share in zip(places, chosen, shares, strict=True):
                parts[place], weights[place] = olds[row].tolist(), share.tolist()
            progress.advance(len(places))
    return Mixture(parts, weights)


def _donor(wanted: Wanted, role: Role) -> tuple[torch.Tensor, dict[int, int]]:
    """The donor's table, [rows, width] on its disk, and its row of each new one, by their bytes."""
    if wanted.donor is None:
        raise ConfigError(
            "omp needs a model that already has the new vocabulary",
            where="--donor",
            mend="give its folder (one that `dilmac pretrain` made with that tokenizer)",
        )
    donor = open_source(model_folder(wanted.donor))
    layout = donor.layout
    name = layout.embedding if role == "input" else layout.head or layout.embedding
    rows = {data: row for row, data in enumerate(donor.tokenizer.rows) if data}
    target = wanted.plan.target_bytes
    found = {row: rows[data] for row, data in enumerate(target) if data and data in rows}
    return donor.checkpoint.table(name), found


def pursue(
    goals: torch.Tensor, atoms: torch.Tensor, num_steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Atoms [atoms, width] chosen one by one for each goal [goals, width], and coefficients.

    Both are [goals, steps]. After every choice the goal's part in the span of all that were chosen
    is taken off, so no atom is chosen twice but where nothing is left.
    """
    left = goals.clone()
    basis = torch.zeros(len(goals), num_steps, goals.shape[1])
    chosen = torch.zeros(len(goals), num_steps, dtype=torch.long)
    free = torch.ones(len(goals), len(atoms), dtype=torch.bool)
    for step in range(num_steps):
        scores = (left @ atoms.T).abs().masked_fill_(~free, -1.0)
        best = scores.argmax(1)
        chosen[:, step] = best
        free.scatter_(1, best[:, None], False)
        new = atoms[best]
        for _ in range(2):  # twice is enough (Kahan): once loses orthogonality in float32
            had = basis[:, :step]
            new = new - torch.einsum("gs,gsw->gw", torch.einsum("gsw,gw->gs", had, new), had)
        new = torch.nn.functional.normalize(new, dim=1)
        basis[:, step] = new
        left = left - (left * new).sum(1, keepdim=True) * new
    solved = torch.linalg.lstsq(atoms[chosen].transpose(1, 2), goals[:, :, None], driver="gelsd")
    return chosen, solved.solution[:, :, 0]
