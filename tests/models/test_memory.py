"""Memory of training: the count is what autograd keeps."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from dilmac.models import PRESETS, kept_bytes, training_bytes


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("layers", [1, 3])
def test_kept_bytes_are_what_autograd_keeps(
    layers: int, precision: Literal["bf16", "fp32"]
) -> None:
    preset = PRESETS["quick"].model_copy(update={"context": 128, "num_layers": layers})
    model = LlamaForCausalLM(preset.shape_config(2000))
    known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in known:
            kept[place] = tensor
        return tensor

    ids = torch.randint(0, 2000, (4, preset.context + 1))
    is_bf16 = precision == "bf16"
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
    assert loss.isfinite()
    tokens = 4 * preset.context
    # Autocast's copies of the weights are kept as well, and counted with the weights.
    found = sum(
        tensor.untyped_storage().nbytes()
        for tensor in kept.values()
        if tensor.ndim > 2 or tensor.shape[:1] == (tokens,)
    )
    log_probabilities = 4 * 2000
    expected = (kept_bytes(preset, precision) + log_probabilities) * tokens
    assert expected == pytest.approx(found, rel=0.01)


def test_checkpointing_and_fewer_tokens_need_less() -> None:
    preset = PRESETS["134m"]

    def total(tokens: int, **settings: bool) -> int:
        return training_bytes(preset, 32_000, tokens, context=2048, **settings).total

    full = total(16_384)
    assert total(16_384, checkpointing=True) < 0.6 * full
    assert total(8_192) < full
    # The logits of 32,768 tokens at once would take more than 4 GB, however they are held.
    logits = training_bytes(preset, 32_000, 32_768, context=2048, compiled=True).logits
    assert logits < 1 << 30
