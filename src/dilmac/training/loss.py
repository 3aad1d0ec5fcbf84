"""The loss of a language model without ever holding all of its logits.

With 32,000 rows the logits are most of what a step keeps and moves: 4 GB in fp32 for 32,768
tokens. They are made for a few rows at a time, together with their gradients, and forgotten
(the idea of Liger-Kernel's fused linear cross entropy, in plain PyTorch).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from dilmac.models import CHUNK_BYTES
from dilmac.training.attention import causal_attention
from dilmac.training.windows import IGNORED

# Bytes of logits whose gradient is taken at once: on a CPU, what stays in the caches meanwhile.
# (`CHUNK_BYTES` are those that exist at once.)
# (On a GPU, in fp32 beside them: 64 MB of bf16 are 256 MB there.)
CACHED_BYTES = {"cuda": 64 << 20, "cpu": 4 << 20}
# fp16 has no numbers for most of a softmax over 32,000 rows: there its gradient is kept this much
# larger. More, and the sums over a chunk's tokens would leave its range at the other end.
FP16_LIFT = 16.0
Core = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def loss_and_gradient(logits: torch.Tensor, targets: torch.Tensor, lift: float) -> torch.Tensor:
    """Summed cross entropy [nats] of logits `[rows, vocabulary]`, which become its gradient.

    The gradient is `lift` times what it is.

    Computed in fp32, whatever the logits' type. Ignored targets count nothing in the sum; the
    gradient of their rows is the caller's to leave out.
    """
    counted = targets != IGNORED
    places = torch.where(counted, targets, 0)[:, None]
    shares = torch.log_softmax(logits.float(), 1)
    loss = torch.where(counted, -shares.gather(1, places)[:, 0], 0.0).sum()
    shares = shares.exp_()
    shares.scatter_add_(1, places, torch.full_like(places, -1, dtype=torch.float32))
    logits.copy_(shares if lift == 1.0 else shares * lift)
    return loss


@functools.cache
def _core(*, compiled: bool) -> Core:
    return torch.compile(loss_and_gradient, dynamic=False) if compiled else loss_and_gradient


class ChunkedCrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    """Summed cross entropy of `hidden @ rows.T`; gradients are made in the forward pass.

    Rows may stand before those that are trained (`fixed`): they share the softmax and get no
    gradient, whose table would be as large as theirs.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 (autograd hands them over by place)
        context: Any,
        hidden: torch.Tensor,
        rows: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype,
        compiled: bool,
        fixed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Loss [nats] of hidden `[tokens, width]` on rows `[vocabulary, width]`, in `dtype`."""
        lift = FP16_LIFT if dtype == torch.float16 else 1.0
        core, device = _core(compiled=compiled), hidden.device.type
        states = hidden.to(dtype)
        # Not joined: together they would be as large as the head once more.
        tables = [table.to(dtype) for table in (fixed, rows) if table is not None]
        num_rows = sum(map(len, tables))
        first = num_rows - len(rows)
        size = _rows_within(CHUNK_BYTES, num_rows, dtype, device)
        part = _rows_within(CACHED_BYTES, num_rows, dtype, device)
        states_gradient = torch.empty_like(states)
        rows_gradient = torch.zeros_like(rows, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for chunk, aims, gradient in zip(
            states.split(size), targets.split(size), states_gradient.split(size), strict=True
        ):
            logits = _logits(chunk, tables)
            for piece, aim in zip(logits.split(part), aims.split(part), strict=True):
                total += core(piece, aim, lift)
            counted = (aims != IGNORED)[:, None].to(dtype)
            torch.mm(logits[:, first:], tables[-1], out=gradient)
            if fixed is not None:
                gradient.addmm_(logits[:, :first], tables[0])
            gradient.mul_(counted)
            rows_gradient += logits[:, first:].t() @ (chunk * counted)
        context.lift, context.dtype = lift, hidden.dtype
        context.save_for_backward(states_gradient, rows_gradient)
        return total

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> Any:
        states_gradient, rows_gradient = context.saved_tensors
        scale = gradients[0] / context.lift
        hidden_gradient = (states_gradient * scale).to(context.dtype)
        return hidden_gradient, rows_gradient.mul_(scale), None, None, None, None


def _logits(states: torch.Tensor, tables: list[torch.Tensor]) -> torch.Tensor:
    """Of states `[tokens, width]` on the rows of all tables, `[tokens, rows]`."""
    if len(tables) == 1:
        return states @ tables[0].t()
    logits = states.new_empty(len(states), sum(map(len, tables)))
    at = 0
    for table in tables:
        torch.mm(states, table.t(), out=logits[:, at : at + len(table)])
        at += len(table)
    return logits


def _rows_within(limits: dict[str, int], width: int, dtype: torch.dtype, device: str) -> int:
    return int(max(32, limits.get(device, limits["cpu"]) // (width * dtype.itemsize)))


class TrainedModel(nn.Module):  # type: ignore[misc]
    """A causal model together with its loss: what is compiled, wrapped and sharded.

    The residual stream is in `dtype`, weights stay as they are: without that, autocast's fp32
    embeddings keep it in fp32, which moves twice the bytes.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype, *, compiled: bool):
        super().__init__()
        self.model = model
        self.dtype, self.compiled = dtype, compiled
        trunk = model.get_decoder()
        self._run = cast(
            "nn.Module", torch.compile(trunk, dynamic=False) if compiled else trunk
        ).forward

    def forward(
        self,
        input_ids: torch.Tensor,
        targets: torch.Tensor,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Summed loss [nats] of ids `[rows, context]`; targets of that shape, -100 is ignored."""
        with torch.autocast(
            input_ids.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        ):
            hidden = self.states(input_ids, mask, positions)
        return self.loss_of(hidden, targets)

    def states(
        self,
        input_ids: torch.Tensor,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Last hidden states `[rows, context, width]`."""
        embedded = self.embedded(input_ids).to(self.dtype)
        with causal_attention(self.model.config):
            hidden: torch.Tensor = self._run(
                inputs_embeds=embedded,
                attention_mask=mask,
                position_ids=positions,
                use_cache=False,
            ).last_hidden_state
        return hidden

    def embedded(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Vectors of ids, `[rows, context, width]`."""
        vectors: torch.Tensor = self.model.get_input_embeddings()(input_ids)
        return vectors

    def tables(self) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Rows of the output that are fixed, if any, and those after them, which are trained."""
        return None, cast("nn.Linear", self.model.get_output_embeddings()).weight

    def loss_of(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Summed loss [nats] of the targets after those states."""
        fixed, rows = self.tables()
        loss: torch.Tensor = ChunkedCrossEntropy.apply(
            hidden.flatten(0, 1), rows, targets.flatten(), self.dtype, self.compiled, fixed
        )
        return loss
