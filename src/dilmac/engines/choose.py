"""The choice of the next token from a model's logits, for the engines that choose themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from dilmac.engines.interface import Sampling


def suppressed_rows(told: Iterable[int], num_rows: int, num_tokens: int) -> list[int]:
    """Rows that are never sampled: those that a transplant silenced, and those that are no
    tokens."""
    silent = {*told}
    return [row for row in range(num_rows) if row in silent or row >= num_tokens]


class Chooser:
    """Draws tokens as a `Sampling` asks. Same logits and seed, same tokens."""

    def __init__(self, sampling: Sampling, suppressed: list[int], device: Any = "cpu"):
        self.sampling, self.suppressed = sampling, suppressed
        self.generator = torch.Generator(device=device).manual_seed(sampling.seed)
        self.warpers = _warpers(sampling)

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """The next token `[1, 1]` of logits `[1, rows]`."""
        open_to_choice = logits.clone()
        open_to_choice[:, self.suppressed] = -torch.inf
        if self.sampling.temperature == 0:
            return open_to_choice.argmax(-1, keepdim=True)
        shares = torch.softmax(self.warpers(None, open_to_choice), dim=-1)
        return torch.multinomial(shares, 1, generator=self.generator)


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    warpers = LogitsProcessorList()
    if sampling.temperature > 0:
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers
