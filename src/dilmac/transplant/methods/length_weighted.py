"""Asymmetric composition: mean of the parts to read, byte-length-weighted mean to say.

    input row = 1/n · Σ E[b];   output row = Σ len(b)·U[b] / Σ len(b)

In tied models the one table follows the output; norms are left as they come out.
"""

from __future__ import annotations

from dilmac.transplant.methods.mean import mean
from dilmac.transplant.mixture import composed
from dilmac.transplant.registry import Role, Rows, Wanted, register


@register("length_weighted", source="Joshi 2026, Beyond Initialization Loss (arXiv:2608.03494)")
def length_weighted(wanted: Wanted, role: Role) -> Rows:
    """Longer parts say more of what a token is."""
    if role == "input":
        return mean(wanted, role)
    return composed(wanted.decompositions, wanted.sizes)
