"""Out of memory: the estimate is near what a step holds, and the advice would be enough."""

from types import SimpleNamespace
from typing import Any
from weakref import finalize

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaForCausalLM

from dilmac.core import DilmacError
from dilmac.models import (
    BYTES_PER_GIB,
    CHUNK_BYTES,
    PRESETS,
    Estimate,
    PresetsConfig,
    list_presets,
    training_bytes,
)
from dilmac.training.loss import TrainedModel
from dilmac.training.memory import (
    USABLE_SHARE,
    device_bytes,
    is_out_of_memory,
    out_of_memory_error,
)
from dilmac.training.precision import DTYPES

CUDA_TEXT = (
    "CUDA out of memory. Tried to allocate 1.95 GiB. GPU 0 has a total capacity of {} GiB of which "
    "1.20 GiB is free. Process 7 has 14.5 GiB memory in use."
)


class LiveBytes(TorchDispatchMode):
    """Bytes of all tensors that exist, and the most that ever did."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if (key := id(storage)) not in self.known:
            self.known.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            finalize(storage, self.forget, key, storage.nbytes())

    def forget(self, key: int, num_bytes: int) -> None:
        self.known.discard(key)
        self.now -= num_bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, torch.Tensor):
                self.see(value)
        return made


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize(
    ("name", "rows"), [("tiny", 8), pytest.param("quick", 4, marks=pytest.mark.slow)]
)
def test_estimate_is_within_a_sixth_of_what_two_steps_hold(
    name: str, rows: int, precision: str, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHUNK_BYTES, "cpu", 1 << 18)  # as small beside the model as in real runs
    preset, context, vocab_size = PRESETS[name], 128, 1000
    model = LlamaForCausalLM(preset.shape_config(vocab_size)).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    trained = TrainedModel(model, DTYPES[precision], compiled=False)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(0, vocab_size, (rows, context + 1))
    with LiveBytes() as live:
        for parameter in model.parameters():
            live.see(parameter.data)
        for _ in range(2):
            trained(ids[:, :-1], ids[:, 1:]).backward()
            trained(ids[:, :-1], ids[:, 1:]).backward()
            optimizer.step()
            optimizer.zero_grad()
    estimate = training_bytes(
        preset,
        vocab_size,
        rows * context,
        context=context,
        precision=precision,
        checkpointing=checkpointing,
        device="cpu",
    )
    assert estimate.total == pytest.approx(live.peak, rel=1 / 6)
    assert estimate.total == sum(estimate.parts().values())


def test_parts_are_exact_where_they_can_be() -> None:
    model = LlamaForCausalLM(PRESETS["tiny"].shape_config(1000))
    parameters = sum(p.numel() for p in model.parameters())
    matrices = sum(p.numel() for p in model.model.layers.parameters() if p.ndim == 2)

    def estimate(**settings: Any) -> Estimate:
        return training_bytes(PRESETS["tiny"], 1000, 4096, context=128, **settings)

    assert estimate().weights == estimate().gradients == 4 * parameters
    assert estimate().optimizer == 8 * parameters
    assert estimate(optimizer="muon").optimizer == 8 * parameters - 4 * matrices
    assert estimate(precision="fp32").copies == 0
    assert estimate(num_shards=4).weights == parameters
    assert estimate(checkpointing=True).total < estimate().total


def told(capacity: float, micro_batch: int, name: str = "134m", **settings: Any) -> DilmacError:
    """The error of a run on a card of that many GiB."""
    config = SimpleNamespace(optimizer=settings.pop("optimizer", "adamw"), compile="on")
    with torch.device("meta"):
        model = LlamaForCausalLM(PRESETS[name].shape_config(32_000))
    return out_of_memory_error(
        torch.OutOfMemoryError(CUDA_TEXT.format(capacity)),
        config=config,
        model=model,
        micro_batch=micro_batch,
        context=2048,
        precision="bf16",
        checkpointing=settings.pop("checkpointing", False),
        **settings,
    )


@pytest.mark.parametrize("capacity", [14.6, 23.5, 39.4, 79.1])
def test_fewer_tokens_are_advised_and_would_fit(capacity: float) -> None:
    mend = str(told(capacity, micro_batch=64).mend)
    assert mend.startswith("--micro-batch-tokens ") and "(now 131072)" in mend
    tokens = int(mend.split()[1])
    assert tokens % 2048 == 0 and tokens < 131_072
    need = training_bytes(
        PRESETS["134m"], 32_000, tokens, context=2048, device="meta", compiled=True
    )
    assert need.total <= capacity * USABLE_SHARE * (1 << 30)


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_advice_and_the_table_of_presets_count_the_same(name: str) -> None:
    row = list_presets(PresetsConfig(vocab_size=32_000))["presets"][name]
    card = SimpleNamespace(device=torch.device("cuda"))  # no tensor lies there: nothing needs it
    model = SimpleNamespace(
        config=PRESETS[name].shape_config(32_000), parameters=lambda: iter([card])
    )
    error = out_of_memory_error(
        torch.OutOfMemoryError(CUDA_TEXT.format("14.58")),
        config=SimpleNamespace(optimizer="adamw", compile="auto"),
        model=model,
        micro_batch=1,
        context=PRESETS[name].context,
        precision="bf16",
        checkpointing=False,
    )
    assert f"needs about {row['training_bytes'] / BYTES_PER_GIB:.1f} GiB (" in error.found


def test_fewer_tokens_are_advised_even_if_the_estimate_fits() -> None:
    error = told(79.1, micro_batch=2)
    assert error.mend and error.mend.startswith("--micro-batch-tokens 2048 (now 4096)")
    assert "meta has 79.1 GiB" in error.found and "4,096 tokens" in error.found


def test_one_window_that_does_not_fit_is_checkpointed_then_shortened() -> None:
    error = told(79.1, micro_batch=1)
    assert str(error.mend).startswith("--gradient-checkpointing: about a third slower")
    error = told(79.1, micro_batch=1, checkpointing=True)
    assert str(error.mend).startswith("--context 1024 (now 2048), or a smaller --preset")


def test_state_that_does_not_fit_needs_a_smaller_model_or_more_cards() -> None:
    error = told(2.0, micro_batch=8)
    assert "weights, gradients and optimizer alone take 2.2 GiB" in str(error.mend)
    assert "smaller --preset or --optimizer muon" in str(error.mend)
    assert "muon" not in str(told(1.5, micro_batch=8, optimizer="muon").mend)
    assert "--micro-batch-tokens" in str(told(3.0, micro_batch=8, num_shards=8).mend)


def test_memory_errors_are_known_by_their_words() -> None:
    cpu = (
        "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )
    windows = "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
    assert all(map(is_out_of_memory, (MemoryError(), RuntimeError(cpu), RuntimeError(windows))))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert not is_out_of_memory(RuntimeError("expected all tensors to be on the same device"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_an_allocation_that_fails_here_is_recognized() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_capacity_is_read_from_the_error_or_the_machine() -> None:
    error = torch.OutOfMemoryError(CUDA_TEXT.format("14.58"))
    assert device_bytes(error, torch.device("cuda")) == int(14.58 * (1 << 30))
    here = device_bytes(None, torch.device("cpu"))
    assert here and here > 1 << 28
    assert device_bytes(None, torch.device("meta")) is None
