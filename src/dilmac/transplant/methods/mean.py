"""Mean of the old rows that a token's bytes are cut into: FVT.

row = 1/n · Σ old rows of the n parts
"""

from __future__ import annotations

from dilmac.transplant.mixture import composed
from dilmac.transplant.registry import Role, Rows, Wanted, register


@register("mean", source="Gee et al. 2022, Fast Vocabulary Transfer (arXiv:2402.09977)")
def mean(wanted: Wanted, role: Role) -> Rows:  # noqa: ARG001 — both tables alike
    """The same weight for every part."""
    return composed(wanted.decompositions, lambda parts: [1.0] * len(parts))
