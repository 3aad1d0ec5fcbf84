"""Shared tokens that keep similar company, mixed: FOCUS.

    row = Σ sparsemax(cos(f, f_o))_o · E[o]   over the shared tokens o

f are vectors learned from text in the new tokenization (`vectors.py`). Sparsemax (Martins and
Astudillo 2016) gives most shared tokens exactly nothing. A token too rare for a vector becomes the
mean of its parts, not a draw at random as in the paper: that is never worse to begin with.
"""

from __future__ import annotations

import torch

from dilmac.core import Steps
from dilmac.transplant.methods.mean import mean
from dilmac.transplant.mixture import Mixture, mixed
from dilmac.transplant.registry import Role, Rows, Wanted, register
from dilmac.transplant.vectors import token_vectors

MIN_COUNT = 10  # of a token in the text, as in the paper
MAX_TOKENS = 20_000_000
CHUNK_ROWS = 512


@register("focus", source="Dobler and de Melo 2023, FOCUS (arXiv:2305.14481)", needs=("corpus",))
def focus(wanted: Wanted, role: Role) -> Rows:
    """Mixtures of shared tokens; the vectors are learned once for both tables."""
    if "focus" not in wanted.cache:
        wanted.cache["focus"] = _mixture(wanted, role)
    made = wanted.cache["focus"]
    if not isinstance(made, Mixture):
        raise AssertionError("what focus keeps is its mixture")
    return made


def _mixture(wanted: Wanted, role: Role) -> Mixture:
    texts = wanted.require_texts("focus")
    vectors, counts = token_vectors(
        wanted.target, texts(), wanted.plan.num_rows, max_tokens=MAX_TOKENS, seed=wanted.seed
    )
    shared = [(row, old) for row, old in wanted.plan.shared().items() if counts[row] >= MIN_COUNT]
    fallback = mean(wanted, role)
    if not isinstance(fallback, Mixture):
        raise AssertionError("the mean is a mixture")
    parts, weights = [list(row) for row in fallback.parts], [list(row) for row in fallback.weights]
    known = [place for place, row in enumerate(wanted.rows) if counts[row] >= MIN_COUNT]
    wanted.notes["rows_with_vectors"] = len(known)
    if shared:
        olds = torch.tensor([old for _, old in shared])
        anchors = vectors[[row for row, _ in shared]]
        with Steps("focus", total=len(known), unit="rows") as progress:
            for start in range(0, len(known), CHUNK_ROWS):
                places = known[start : start + CHUNK_ROWS]
                likeness = vectors[[wanted.rows[place] for place in places]] @ anchors.T
                for place, shares in zip(places, sparsemax(likeness), strict=True):
                    chosen = shares.nonzero().flatten()
                    parts[place] = olds[chosen].tolist()
                    weights[place] = shares[chosen].tolist()
                progress.advance(len(places))
    return mixed(parts, weights)


def sparsemax(scores: torch.Tensor) -> torch.Tensor:
    """The nearest point of the simplex to each row of scores, [rows, choices]."""
    ordered, _ = scores.sort(dim=1, descending=True)
    sums = ordered.cumsum(1) - 1
    steps = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype)
    size = (ordered * steps > sums).sum(1, keepdim=True)
    threshold = sums.gather(1, size - 1) / size
    return (scores - threshold).clamp(min=0)
