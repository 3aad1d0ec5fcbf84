"""How one request's next token is chosen: its own seed, its own penalty, and forbidden rows.

In numpy: on a CPU transformers' warpers and torch's draw take eight times as long, 2.4 ms for a
token of 32,000 rows (RESULTS.md, choosing); dilmac-mini in ONNX takes 2 to compute it. On a GPU,
from which the logits are fetched, it was not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dilmac.core import DilmacError
from dilmac.engines.interface import Sampling, Token

Array = np.ndarray[Any, Any]
# Logarithms of the shares of the most probable token from which rows are looked at; the first that
# gives enough rows counts, so that seldom all are sorted.
LEAST_SHARES = (-7.0, -14.0, -np.inf)


class Chooser:
    """Chooses tokens for one request; what others ask for at the same time changes nothing."""

    def __init__(self, sampling: Sampling, suppressed: Array, prompt: Sequence[int] = ()):
        """`suppressed` [rows that are never chosen]."""
        self._sampling = sampling
        self._seen = {*prompt}
        self.suppressed = suppressed
        self._generator = np.random.default_rng(sampling.seed)

    def __call__(self, logits: Array) -> Token:
        """The next token by its logits [rows] in float32, and what the model gave it.

        Raises:
            DilmacError: the logits are no numbers.
        """
        open_to_choice = self._penalized(logits)
        open_to_choice[self.suppressed] = -np.inf
        best = int(open_to_choice.argmax())
        if not np.isfinite(open_to_choice[best]):
            raise DilmacError(
                f"the model gives {open_to_choice[best]} for the next token, which is no number",
                mend="its weights are damaged, or too large for their type: see `dilmac doctor`",
            )
        # What is below float32's least number would divide by zero.
        is_greedy = np.float32(self._sampling.temperature) == 0
        row, share = (best, 1.0) if is_greedy else self._draw(open_to_choice, best)
        self._seen.add(row)
        asked = self._sampling.logprobs
        return Token(id=row, logprob=_logprob(logits, row) if asked else float(np.log(share)))

    def _penalized(self, logits: Array) -> Array:
        """A copy, lower where a token was there before (Keskar et al. 2019, CTRL)."""
        logits = logits.copy()
        penalty = self._sampling.repetition_penalty
        if penalty > 1 and self._seen:
            rows = np.fromiter(self._seen, np.int64)
            found = logits[rows]
            logits[rows] = np.where(found > 0, found / penalty, found * penalty)
        return logits

    def _draw(self, logits: Array, best: int) -> tuple[int, float]:
        """A row, and its share of those that top k and top p leave."""
        rows, shares = self._kept(logits, logits[best])
        mass = shares.cumsum(dtype=np.float64)
        drawn = self._generator.random() * mass[-1]
        last = int(mass.searchsorted(mass[-1]))  # behind it are only rows without a share
        place = min(int(mass.searchsorted(drawn, side="right")), last)
        return int(rows[place]), float(shares[place] / mass[-1])

    def _kept(self, logits: Array, most: Array) -> tuple[Array, Array]:
        """Rows that top k, and then top p, leave, and their shares (the most probable one's is 1):
        as transformers' warpers, but for rows that are equal at the edge of top k."""
        top_k, top_p = self._sampling.top_k, self._sampling.top_p
        if 0 < top_k < len(logits):
            rows = self._top(logits, most, top_k)
            shares = self._shares(logits[rows], most)
            whole = shares.sum(dtype=np.float64)
        else:
            rows, shares = np.arange(len(logits)), self._shares(logits, most)
            if top_p == 1:
                return rows, shares
            whole = shares.sum(dtype=np.float64)
            rows = _most_of(shares, top_p * whole)
            shares = shares[rows]
        if top_p < 1:
            mass = shares.cumsum(dtype=np.float64)
            number = int(mass.searchsorted(top_p * whole)) + 1
            rows, shares = rows[:number], shares[:number]
        return rows, shares

    def _shares(self, logits: Array, most: Array) -> Array:
        shares: Array = np.exp((logits - most) / np.float32(self._sampling.temperature))
        return shares

    def _top(self, logits: Array, most: Array, number: int) -> Array:
        """The top rows, most probable first; those near the best one are looked at first."""
        for least in LEAST_SHARES:
            edge = most + self._sampling.temperature * least
            rows = (logits >= edge).nonzero()[0]
            if len(rows) >= number:
                break
        found: Array = rows[largest(logits[rows], number)]
        return found


def _most_of(shares: Array, mass: float) -> Array:
    """Rows that have at least so much together, most probable first."""
    for least in LEAST_SHARES:
        rows = (shares >= np.exp(least)).nonzero()[0]
        if shares[rows].sum(dtype=np.float64) >= mass:
            break
    found: Array = rows[largest(shares[rows], len(rows))]
    return found


def largest(values: Array, number: int) -> Array:
    """Places of the largest values, largest first; of equal ones any may be left out."""
    places = np.arange(min(number, len(values)))
    if 0 < number < len(values):
        places = np.argpartition(values, -number)[-number:]
    return places[np.argsort(-values[places], kind="stable")]


def _logprob(logits: Array, row: int) -> float:
    """What the model gives a row [nats]."""
    most = np.nanmax(logits)  # a row that is never chosen may be no number
    shares = np.nan_to_num(np.exp(logits - most), nan=0.0)
    return float(logits[row] - most - np.log(shares.sum(dtype=np.float64)))


def suppressed_rows(told: Iterable[int], num_rows: int, num_tokens: int) -> Array:
    """Rows that are never sampled: those that a transplant silenced (`told`), and those that are no
    tokens of the tokenizer's `num_tokens`."""
    silent = {*told}
    rows = [row for row in range(num_rows) if row in silent or row >= num_tokens]
    return np.array(rows, dtype=np.int64)
