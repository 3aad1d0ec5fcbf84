"""Mean of the parts to read, the first part to say: EEVE.

    input row = 1/n · Σ old rows of the n parts;   output row = old row of the first part

What begins like the token was predicted where the token will be; siblings that begin alike get
equal logits, which training must part. In tied models the one table follows the output.
"""

from __future__ import annotations

from dilmac.transplant.methods.mean import mean
from dilmac.transplant.mixture import composed
from dilmac.transplant.registry import Role, Rows, Wanted, register


@register("first", source="Kim et al. 2024, EEVE (arXiv:2402.14714)")
def first(wanted: Wanted, role: Role) -> Rows:
    """Output rows are copies of the first part's."""
    if role == "input":
        return mean(wanted, role)
    return composed(wanted.decompositions, lambda parts: [1.0, *[0.0] * (len(parts) - 1)])
