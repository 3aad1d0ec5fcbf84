"""Losses of healing: the text itself, a teacher's likelihoods, or a teacher's states.

alm: for every chunk of bytes, the teacher's and the student's likelihood p and q, tempered by
1/t, as a coin: t · [p' ln(p'/q') + (1 - p') ln((1 - p')/(1 - q'))], p' = p^(1/t)
(Minixhofer, Vulić and Ponti 2025, arXiv:2503.20083; t = 100; the factor t keeps the scale of nats).

hidden: mean squared difference of the states where chunks end, at a third of the depth, in units of
the teacher's mean square (Token Distillation, arXiv:2505.20133; a third: transplant.md 1.13).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from dilmac.training import IGNORED, TrainedModel
from dilmac.transplant.heal.config import HealConfig
from dilmac.transplant.heal.patient import Patient
from dilmac.transplant.heal.teacher import Teacher, states_after

TEMPER = 100.0
CHUNK_TOKENS = 1024  # whose logits exist at once
DEPTH_SHARE = 1 / 3
Wrap = Callable[[PreTrainedModel, torch.dtype, bool], nn.Module]


def wrapped_with(config: HealConfig, patient: Patient) -> Wrap:
    """How the loop is to wrap the student for the loss that was asked for."""

    def wrap(model: PreTrainedModel, dtype: torch.dtype, compiled: bool) -> nn.Module:
        student = patient.wrap(model, dtype, compiled)
        if config.loss == "lm" or config.teacher is None:
            return student
        teacher = Teacher(config.teacher, config.model, dtype)
        kind = LikelihoodMatching if config.loss == "alm" else StateMatching
        return kind(student, teacher)

    return wrap


class Matching(nn.Module):  # type: ignore[misc]
    """A student beside its teacher; called as `TrainedModel` is."""

    def __init__(self, student: TrainedModel, teacher: Teacher):
        super().__init__()
        self.student, self.teacher = student, teacher
        self.model = student.model

    def _autocast(self, device: torch.device) -> Any:
        dtype = self.student.dtype
        return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


class LikelihoodMatching(Matching):
    """Summed ALM loss of chunks, times the tokens in them."""

    def forward(
        self,
        input_ids: torch.Tensor,
        targets: torch.Tensor,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Loss of ids `[rows, context]`; a chunk with an ignored target is left out."""
        with self._autocast(input_ids.device):
            hidden = self.student.states(input_ids, mask, positions)
        total = hidden.new_zeros((), dtype=torch.float32)
        fixed, rows = self.student.tables()
        head = rows if fixed is None else torch.cat([fixed, rows.to(fixed.dtype)])
        for row in range(len(input_ids)):
            ids = [*input_ids[row].tolist(), *_last(targets[row])]
            with self._autocast(input_ids.device):
                found = self.teacher.likelihoods(ids)
            logs = _logs(hidden[row], targets[row], head)
            spans = [(chunk.source, value) for chunk, value in found]
            total = total + _coins(logs, targets[row], spans)
        return total


def _logs(hidden: torch.Tensor, targets: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of each target, `[context]`, a few logits at a time."""
    aims = targets.clamp(min=0)

    def some(states: torch.Tensor, aim: torch.Tensor) -> torch.Tensor:
        logits = (states.to(head.dtype) @ head.t()).float()
        return logits.log_softmax(-1).gather(-1, aim[:, None])[:, 0]

    parts = zip(hidden.split(CHUNK_TOKENS), aims.split(CHUNK_TOKENS), strict=True)
    return torch.cat([checkpoint(some, *part, use_reentrant=False) for part in parts])


def _last(targets: torch.Tensor) -> list[int]:
    """The token after the window, where it is a target."""
    last = int(targets[-1])
    return [] if last == IGNORED else [last]


def _coins(
    logs: torch.Tensor, targets: torch.Tensor, spans: list[tuple[tuple[int, int], float]]
) -> torch.Tensor:
    """Sum over chunks; a token's place in the row is one more than its target's."""
    kept = [
        (first - 1, last - 1, value)
        for (first, last), value in spans
        if bool((targets[first - 1 : last - 1] != IGNORED).all())
    ]
    if not kept:
        return logs.sum() * 0
    sums = torch.cat([logs.new_zeros(1), logs.cumsum(0)])
    firsts, lasts, values = (
        torch.tensor(part, device=logs.device) for part in zip(*kept, strict=True)
    )
    ours = (sums[lasts] - sums[firsts]).clamp(max=-1e-6)
    theirs = values.to(ours.dtype).clamp(max=-1e-6)
    return (coin_divergence(theirs, ours) * (lasts - firsts)).sum()


def coin_divergence(theirs: torch.Tensor, ours: torch.Tensor) -> torch.Tensor:
    """Divergence of two tempered coins from their log-likelihoods [nats], elementwise."""
    p, q = theirs / TEMPER, ours / TEMPER
    heads = p.exp() * (p - q)
    tails = -torch.expm1(p) * (torch.log(-torch.expm1(p)) - torch.log(-torch.expm1(q)))
    return TEMPER * (heads + tails)


class StateMatching(Matching):
    """Summed difference of states where chunks end, times the tokens in them."""

    def forward(
        self,
        input_ids: torch.Tensor,
        targets: torch.Tensor,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Loss of ids `[rows, context]`."""
        del mask, positions
        layer = max(1, round(DEPTH_SHARE * len(self.model.get_decoder().layers)))
        with self._autocast(input_ids.device):
            embedded = self.student.embedded(input_ids).to(self.student.dtype)
            ours = states_after(self.model, layer, inputs_embeds=embedded)
        total = ours.new_zeros((), dtype=torch.float32)
        for row in range(len(input_ids)):
            with self._autocast(input_ids.device):
                found = self.teacher.states(input_ids[row].tolist(), layer)
            places = [place for place, _ in found]
            theirs = torch.stack([state for _, state in found]).float()
            error = (ours[row, places].float() - theirs).square().mean(-1)
            scale = theirs.square().mean(-1).clamp(min=1e-6)
            tokens = int((targets[row] != IGNORED).sum())
            total = total + (error / scale).mean() * tokens
        return total
