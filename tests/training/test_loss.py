"""The loss in pieces is the loss in one piece, and so are its gradients."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaForCausalLM

from dilmac.models import PRESETS
from dilmac.training import loss as module
from dilmac.training.loss import ChunkedCrossEntropy, TrainedModel
from dilmac.training.windows import IGNORED

NEAR = {torch.float32: (1e-5, 5e-6), torch.bfloat16: (3e-2, 3e-2), torch.float16: (4e-3, 4e-3)}


def drawn(tokens: int, width: int, rows: int, ignored: float, seed: int = 0) -> list[torch.Tensor]:
    """States `[tokens, width]`, rows `[rows, width]` and targets of which a share is ignored."""
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(tokens, width, generator=draw)
    table = torch.randn(rows, width, generator=draw) / width**0.5
    targets = torch.randint(0, rows, (tokens,), generator=draw)
    targets[torch.rand(tokens, generator=draw) < ignored] = IGNORED
    return [states, table, targets]


def chunked(
    states: torch.Tensor, table: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
) -> list[torch.Tensor]:
    """Loss and both gradients; the loss is scaled as a step scales it."""
    states, table = states.clone().requires_grad_(), table.clone().requires_grad_()
    loss = ChunkedCrossEntropy.apply(states, table, targets, dtype, False)
    (loss * 0.37).backward()
    return [loss.detach(), states.grad, table.grad]


def plain(states: torch.Tensor, table: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
    """The same by torch's cross entropy of all logits, in fp64."""
    states = states.double().requires_grad_()
    table = table.double().requires_grad_()
    loss = F.cross_entropy(states @ table.t(), targets, ignore_index=IGNORED, reduction="sum")
    (loss * 0.37).backward()
    return [loss.detach(), states.grad, table.grad]


@settings(max_examples=80, deadline=None)
@given(
    tokens=st.integers(1, 140),
    width=st.integers(1, 40),
    rows=st.integers(2, 300),
    ignored=st.sampled_from([0.0, 0.3, 0.95, 1.1]),
    chunk=st.integers(1, 4),
    cached=st.integers(1, 4),
    dtype=st.sampled_from(list(NEAR)),
    seed=st.integers(0, 1000),
)
def test_loss_and_gradients_are_those_of_all_logits(
    *,
    tokens: int,
    width: int,
    rows: int,
    ignored: float,
    chunk: int,
    cached: int,
    dtype: torch.dtype,
    seed: int,
) -> None:
    states, table, targets = drawn(tokens, width, rows, ignored, seed)
    with pytest.MonkeyPatch.context() as patch:  # chunks of 32 to 128 rows
        size = rows * dtype.itemsize
        patch.setitem(module.CHUNK_BYTES, "cpu", 32 * chunk * size)
        patch.setitem(module.CACHED_BYTES, "cpu", 32 * cached * size)
        found = chunked(states, table, targets, dtype)
    # What is rounded on the way in is no fault of the loss.
    wanted = plain(states.to(dtype), table.to(dtype), targets)
    relative, absolute = NEAR[dtype]
    for ours, theirs in zip(found, wanted, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        assert ours.dtype == torch.float32
        torch.testing.assert_close(
            ours.double() / scale, theirs / scale, rtol=relative, atol=absolute
        )


def test_ignored_targets_count_nothing_whatever_stands_there() -> None:
    states, table, targets = drawn(70, 8, 50, 0.4)
    counted = targets != IGNORED
    strange = torch.where(counted[:, None], states, 1e4)
    whole = chunked(strange, table, targets, torch.float32)
    without = chunked(states[counted], table, targets[counted], torch.float32)
    torch.testing.assert_close(whole[0], without[0])
    assert not whole[1][~counted].any()
    torch.testing.assert_close(whole[1][counted], without[1])
    torch.testing.assert_close(whole[2], without[2])


class Largest(TorchDispatchMode):
    """The most numbers that one tensor held."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
        self.numbers = max([self.numbers, *sizes])
        return made


def test_all_logits_never_exist_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, width, rows = 2048, 8, 1000
    monkeypatch.setitem(module.CHUNK_BYTES, "cpu", 4 * rows * 128)
    states, table, targets = drawn(tokens, width, rows, 0.0)
    with Largest() as largest:
        chunked(states, table, targets, torch.float32)
    assert largest.numbers <= 128 * rows
    with Largest() as largest:
        plain(states, table, targets)
    assert largest.numbers >= tokens * rows


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_has_the_loss_and_gradients_of_transformers(
    tied: bool, checkpointing: bool
) -> None:
    preset = PRESETS["tiny"].model_copy(update={"tied": tied})
    torch.manual_seed(1)
    model = LlamaForCausalLM(preset.shape_config(300)).train()
    ids = torch.randint(0, 300, (3, 65))
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[1, 5:20] = IGNORED
    F.cross_entropy(
        model(inputs).logits.flatten(0, 1), targets.flatten(), reduction="sum"
    ).backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    TrainedModel(model, torch.float32, compiled=False)(inputs, targets).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-4, atol=1e-3)


def test_mixed_precision_stays_near_and_keeps_weights_and_gradients_in_fp32() -> None:
    torch.manual_seed(1)
    model = LlamaForCausalLM(PRESETS["tiny"].shape_config(300)).train()
    ids = torch.randint(0, 300, (3, 65))
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        model.zero_grad()
        loss = TrainedModel(model, dtype, compiled=False)(ids[:, :-1], ids[:, 1:])
        loss.backward()
        assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
        found[dtype] = float(loss.detach())
    assert found[torch.bfloat16] == pytest.approx(found[torch.float32], rel=5e-3)
    assert found[torch.bfloat16] != found[torch.float32]
