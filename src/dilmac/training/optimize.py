"""Optimizers: AdamW alone, or Muon for the blocks' matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from dilmac.models import multiplies_bf16
from dilmac.training.choices import OptimizerName
from dilmac.training.ranks import like

BETAS = (0.9, 0.95)
MUON_MOMENTUM = 0.95
RMS_OF_ADAMW = 0.2  # of its updates (Liu et al. 2025), to which Muon's are scaled


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


class PlainMuon(torch.optim.Optimizer):  # type: ignore[misc]
    """Muon where torch's own does not serve.

    Of sharded matrices each is orthogonalized whole, in every process: given the shards themselves,
    torch's would exchange them at every product of its iterations, and round their sums otherwise
    than one process does. And torch's iterates in bf16, which a CPU without it emulates: there that
    was half of the time of a small model's step (benchmarks/RESULTS.md).
    """

    def __init__(self, matrices: list[nn.Parameter], weight_decay: float, dtype: torch.dtype):
        super().__init__(matrices, {"lr": 0.0, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """Apply the gradients."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group["lr"], group["weight_decay"])

    def _move(self, parameter: Any, rate: float, weight_decay: float) -> None:
        state, gradient = self.state[parameter], parameter.grad
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = state["momentum_buffer"]
        # Sums are the same shard by shard.
        _local(momentum).lerp_(_local(gradient), 1 - MUON_MOMENTUM)
        wanted = _local(gradient).lerp(_local(momentum), MUON_MOMENTUM)
        if isinstance(gradient, DTensor):
            wanted = DTensor.from_local(
                wanted,
                gradient.device_mesh,
                gradient.placements,
                shape=gradient.shape,
                stride=gradient.stride(),
            ).full_tensor()
        moved = orthogonalized(wanted, self.dtype) * -(
            rate * RMS_OF_ADAMW * max(wanted.shape) ** 0.5
        )
        parameter.mul_(1 - rate * weight_decay)
        parameter.add_(like(moved, parameter))


def _local(tensor: Any) -> torch.Tensor:
    local: torch.Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local


def orthogonalized(matrix: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A matrix with about its singular vectors and singular values of about 1, iterated in `dtype`.

    Newton-Schulz of the fifth degree with Jordan's coefficients (2024,
    https://kellerjordan.github.io/posts/muon/), five times, as torch has it.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.to(dtype).T if is_tall else matrix.to(dtype)
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = wide @ wide.T
        # Sums inside the products, as torch has them: in bf16 another order is another result.
        update = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        wide = torch.addmm(wide, update, wide, beta=3.4445)
    return (wide.T if is_tall else wide).to(matrix.dtype)


def _muon(matrices: list[nn.Parameter], weight_decay: float) -> torch.optim.Optimizer:
    is_fast = multiplies_bf16(matrices[0].device)
    if isinstance(matrices[0], DTensor) or not is_fast:
        return PlainMuon(matrices, weight_decay, torch.bfloat16 if is_fast else torch.float32)
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
