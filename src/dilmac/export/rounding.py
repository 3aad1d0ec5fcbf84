"""What f16 alone does to a model: its weights and the inputs of its products, rounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def rounding_difference(model: Any, rows: Iterable[list[int]], top: int) -> float:
    """The largest change of a log-probability among the `top` of each position [nats].

    `model` is rounded in place; the runtime multiplies f16 weights with f16 activations, and sums
    in f32.
    """
    import torch

    model.eval()
    batches = [torch.tensor([ids]) for ids in rows]
    before = []
    with torch.inference_mode():
        for ids in batches:
            before.append(_logprobs(model, ids).topk(top, -1))
        _round(model)
        largest = 0.0
        for ids, (values, tokens) in zip(batches, before, strict=True):
            after = _logprobs(model, ids).gather(-1, tokens)
            largest = max(largest, float((after - values).abs().max()))
    return largest


def _logprobs(model: Any, ids: Any) -> Any:
    return model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)


def _round(model: Any) -> None:
    import torch

    for parameter in model.parameters():
        if parameter.ndim > 1:  # vectors stay f32 in the file
            parameter.copy_(parameter.half().float())
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].half().float(),))
