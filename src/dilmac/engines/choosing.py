"""How one request's next token is chosen: its own seed, warpers and forbidden rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from dilmac.engines.interface import Sampling, Token


class Chooser:
    """Chooses tokens for one request; what others ask for at the same time changes nothing."""

    def __init__(self, sampling: Sampling, suppressed: torch.Tensor, prompt: Sequence[int] = ()):
        """`suppressed` [rows that are never chosen], on the model's device."""
        self._penalty = sampling.repetition_penalty
        self._seen = {*prompt}
        self._suppressed = suppressed
        self._is_greedy = sampling.temperature == 0
        self._top_k = sampling.top_k
        self._warpers = _warpers(sampling)
        self._generator = torch.Generator(device=suppressed.device).manual_seed(sampling.seed)

    def __call__(self, logits: torch.Tensor) -> Token:
        """The next token by its logits [rows] in float32, and what the model gave it."""
        open_to_choice = self._penalized(logits).index_fill(0, self._suppressed, -torch.inf)[None]
        if self._is_greedy:
            row = int(open_to_choice.argmax())
        else:
            shares = torch.softmax(self._warped(open_to_choice), dim=-1)
            row = int(torch.multinomial(shares, 1, generator=self._generator))
        self._seen.add(row)
        return Token(id=row, logprob=float(logits[row] - logits.logsumexp(-1)))

    def _penalized(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits [rows], lower where a token was there before (Keskar et al. 2019, CTRL)."""
        if self._penalty == 1 or not self._seen:
            return logits
        rows = torch.tensor(sorted(self._seen), device=logits.device)
        found = logits[rows]
        lower = torch.where(found > 0, found / self._penalty, found * self._penalty)
        return logits.index_copy(0, rows, lower)

    def _warped(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits [1, rows] as the warpers leave them.

        They see only the top k, where there is one: top p sorts what it sees, and to sort 32,000
        rows took longer than dilmac-mini took for a token.
        """
        if not 0 < self._top_k < logits.shape[-1]:
            warped: torch.Tensor = self._warpers(None, logits)
            return warped
        least = logits.topk(self._top_k).values[:, -1]
        candidates = (logits[0] >= least).nonzero()[:, 0]
        kept = self._warpers(None, logits[:, candidates])
        return torch.full_like(logits, -torch.inf).index_copy(1, candidates, kept)


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    warpers = LogitsProcessorList()
    if sampling.temperature > 0:
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers


def suppressed_rows(
    told: Iterable[int], num_rows: int, num_tokens: int, device: Any = "cpu"
) -> torch.Tensor:
    """Rows that are never sampled: those that a transplant silenced (`told`), and those that are no
    tokens of the tokenizer's `num_tokens`."""
    silent = {*told}
    rows = [row for row in range(num_rows) if row in silent or row >= num_tokens]
    return torch.tensor(rows, dtype=torch.long, device=device)
