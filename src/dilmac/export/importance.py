"""Which columns of a matrix count: the mean square of what each is multiplied with, on real text.

llama.cpp's quantizers weigh the error of every weight by it (its `imatrix`,
https://github.com/ggml-org/llama.cpp/blob/master/tools/imatrix/README.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from dilmac.core import Steps
from dilmac.export.tensors import Written


def importance_of(
    model: Any, plan: Sequence[Written], rows: Iterable[Sequence[int]]
) -> dict[str, np.ndarray]:
    """Of GGUF matrices' names the mean squares, [columns], over all tokens of `rows`.

    Experts that a model computes as one block are left out: they are no linear layers of it. So is
    a head that is the embedding: llama.cpp asks for none of it.
    """
    names = {written.sources[0]: written.name for written in plan if len(written.sources) == 1}
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    hooks = []
    for path, module in model.named_modules():
        name = names.get(f"{path}.weight")
        if name is not None and isinstance(module, nn.Linear):
            sums[name] = torch.zeros(module.in_features, dtype=torch.float64)
            counts[name] = 0
            hooks.append(module.register_forward_pre_hook(_adding(sums, counts, name)))
    try:
        with torch.inference_mode(), Steps("importance", unit="tokens") as steps:
            for ids in rows:
                model(input_ids=torch.tensor([ids]), use_cache=False)
                steps.advance(len(ids))
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: (total / counts[name]).float().numpy()
        for name, total in sums.items()
        if counts[name] and bool(torch.isfinite(total).all())
    }


def _adding(sums: dict[str, torch.Tensor], counts: dict[str, int], name: str) -> Any:
    def add(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        values = inputs[0].flatten(0, -2)
        sums[name] += values.double().square().sum(0)
        counts[name] += len(values)

    return add
