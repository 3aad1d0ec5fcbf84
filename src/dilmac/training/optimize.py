"""Optimizers: AdamW alone, or Muon for the blocks' matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from dilmac.training.choices import OptimizerName

BETAS = (0.9, 0.95)
MUON_MOMENTUM = 0.95


class Optimizers:
    """The optimizers of a run as one: each parameter belongs to exactly one of them.

    `muon`: Muon (Jordan 2024) orthogonalizes the momentum of the blocks' matrices; its update is
    scaled to the root mean square of AdamW's (Liu et al. 2025, Moonlight), so that one learning
    rate serves both. Tables (input and output rows) and norms stay with AdamW.
    `adamw`: AdamW (Loshchilov & Hutter 2019) for all. Norms are never decayed.
    """

    def __init__(
        self, model: nn.Module, name: OptimizerName, *, weight_decay: float, table_rate: float
    ):
        matrices, tables, norms = parameter_groups(model)
        by_adamw = [(tables, table_rate, weight_decay), (norms, 1.0, 0.0)]
        self.parts: list[torch.optim.Optimizer] = []
        if name == "muon":
            self.parts.append(_muon(matrices, weight_decay))
        else:
            by_adamw.append((matrices, 1.0, weight_decay))
        groups = [
            {"params": parameters, "rate": rate, "weight_decay": decay}
            for parameters, rate, decay in by_adamw
            if parameters
        ]
        self.parts.append(torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=1e-8, fused=True))

    def step(self, rate: float) -> None:
        """Apply the gradients at learning rate `rate`."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate * group.get("rate", 1.0)
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_of(self, parameter: nn.Parameter) -> dict[str, Any]:
        """What is kept for a parameter: moments and, for AdamW, its step."""
        for part in self.parts:
            if parameter in part.state:
                state: dict[str, Any] = part.state[parameter]
                return state
        return {}

    def set_state(self, parameter: nn.Parameter, state: dict[str, Any]) -> None:
        """Put back what `state_of` gave."""
        for part in self.parts:
            if any(parameter is own for group in part.param_groups for own in group["params"]):
                part.state[parameter] = state


def _muon(matrices: list[nn.Parameter], weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.Muon(
        matrices,
        lr=0.0,
        weight_decay=weight_decay,
        momentum=MUON_MOMENTUM,
        nesterov=True,
        adjust_lr_fn="match_rms_adamw",
    )


def parameter_groups(
    model: nn.Module,
) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """The blocks' matrices, the tables (input and output rows), and all one-dimensional ones."""
    matrices, tables, norms = [], [], []
    for name, parameter in trainable(model):
        if parameter.ndim < 2:
            norms.append(parameter)
        elif "embed_tokens" in name or "lm_head" in name:
            tables.append(parameter)
        else:
            matrices.append(parameter)
    return matrices, tables, norms


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and parameter of all that is trained; tied ones once."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)
