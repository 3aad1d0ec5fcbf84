"""What f16 or bf16 alone does to a model: its weights and the inputs of its products, rounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dilmac.export.tensors import ROUTER

if TYPE_CHECKING:
    import torch


def rounding_differences(
    model: Any, rows: Iterable[list[int]], top: int, dtype: torch.dtype
) -> list[float]:
    """The largest change of a log-probability among the `top` of each position, [positions] nats.

    `model` is rounded in place; the runtime multiplies weights of `dtype` with activations of
    `dtype`, and sums in f32.
    """
    import torch

    model.eval()
    batches = [torch.tensor([ids]) for ids in rows]
    before = []
    with torch.inference_mode():
        for ids in batches:
            before.append(_logprobs(model, ids).topk(top, -1))
        _round(model, dtype)
        largest: list[float] = []
        for ids, (values, tokens) in zip(batches, before, strict=True):
            after = _logprobs(model, ids).gather(-1, tokens)
            largest += (after - values).abs().amax(-1).tolist()
    return largest


def _logprobs(model: Any, ids: Any) -> Any:
    return model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)


def _round(model: Any, dtype: torch.dtype) -> None:
    import torch

    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and not name.endswith(ROUTER):  # vectors and routers stay f32
            parameter.copy_(parameter.to(dtype).float())
    for module in model.modules():
        # Experts are one module with the matrices of all, [experts, out, in].
        experts = any(parameter.ndim == 3 for parameter in module.parameters(recurse=False))
        if isinstance(module, torch.nn.Linear) or experts:
            module.register_forward_pre_hook(
                lambda _, inputs: (inputs[0].to(dtype).float(), *inputs[1:])
            )
