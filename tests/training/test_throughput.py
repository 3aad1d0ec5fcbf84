"""Throughput: operations as published, peaks of the right card, speed over the last seconds."""

import mmap

import pytest
import torch

from dilmac.models import PRESETS, num_parameters
from dilmac.training.throughput import (
    CARDS,
    Pace,
    Peak,
    card_named,
    flops_per_token,
    matmul_parameters,
    measured_peak,
    memory_bytes,
    peak_flops,
)

CPU = torch.device("cpu")
PEAK = Peak(1e12, "a test")


def test_matrices_of_a_model_are_counted() -> None:
    from transformers import LlamaForCausalLM

    for name in ("tiny", "mini", "134m"):
        config = PRESETS[name].shape_config(1000)
        with torch.device("meta"):
            model = LlamaForCausalLM(config)
        linear = [part for part in model.modules() if isinstance(part, torch.nn.Linear)]
        assert matmul_parameters(config) == sum(part.weight.numel() for part in linear)


def test_a_tied_and_an_untied_model_need_the_same_operations() -> None:
    tied, untied = (PRESETS[name].shape_config(32_000) for name in ("134m-tied", "134m"))
    assert flops_per_token(tied, 2048) == flops_per_token(untied, 2048)
    assert num_parameters(PRESETS["134m"], 32_000) > matmul_parameters(untied)


def test_operations_are_those_of_the_published_formula() -> None:
    # 6 N + 12 L d T with N = 12 (4 d d + 3 d f) + V d
    blocks = 12 * (4 * 768**2 + 3 * 768 * 2048)
    expected = 6 * (blocks + 32_000 * 768) + 12 * 12 * 768 * 2048
    assert flops_per_token(PRESETS["134m"].shape_config(32_000), 2048) == expected


def test_torch_counts_the_same_matmuls() -> None:
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import LlamaForCausalLM

    config = PRESETS["tiny"].shape_config(500)
    model, context = LlamaForCausalLM(config), 64
    ids = torch.randint(0, 500, (2, context))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    # The attention of the counter is that of the CPU's fused kernel, which is not counted.
    assert counter.get_total_flops() / ids.numel() == pytest.approx(
        flops_per_token(config, 0), rel=0.02
    )


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA GH200 480GB", 989.4),
        ("NVIDIA B200", 2250),
        ("NVIDIA GB200", 2500),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA A10G", 70),
        ("NVIDIA A10", 125),
        ("NVIDIA L4", 121),
        ("NVIDIA L40", 181.05),
        ("NVIDIA L40S", 362.05),
        ("NVIDIA GeForce RTX 3090", 71),
        ("NVIDIA GeForce RTX 3090 Ti", 80),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA GeForce RTX 5090", 209.5),
    ],
)
def test_the_right_card_is_found(name: str, teraflops: float) -> None:
    card = card_named(name)
    assert card and card.peak("bf16") == pytest.approx(teraflops * 1e12)
    assert card.peak("fp32") < 0.51 * card.peak("fp16")


def test_cards_without_bf16_and_unknown_ones_have_no_peak() -> None:
    for name in ("Tesla T4", "Tesla V100-SXM2-16GB", "Tesla V100-PCIE-32GB"):
        card = card_named(name)
        assert card and card.peak("bf16") is None and card.peak("fp16") > 60e12
    assert card_named("NVIDIA T1000") is None
    assert card_named("NVIDIA GeForce RTX 9999") is None
    assert all(card.source.startswith("NVIDIA") for card in CARDS)


def test_a_cpu_is_measured_once() -> None:
    peak = peak_flops(CPU, "fp32")
    assert peak.source == "measured" and 1e8 < peak.flops < 1e15
    assert peak_flops(CPU, "fp32") is measured_peak("cpu", "fp32", torch.get_num_threads())


def test_memory_grows_with_what_is_held() -> None:
    before = memory_bytes(CPU)
    # New pages: what an allocator hands out may be what an earlier test has freed.
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"\1" * (64 << 20))
        assert memory_bytes(CPU) - before > 48 << 20


def test_speed_is_that_of_the_last_seconds() -> None:
    pace = Pace(1e6, PEAK, CPU, num_devices=2, window_seconds=10)
    assert pace.tokens_per_second == 0 and pace.mfu == 0
    for _ in range(20):
        pace.add(1000, 10.0)
    assert pace.tokens_per_second == 100
    for _ in range(10):
        pace.add(1000, 1.0)
    assert pace.tokens_per_second == pytest.approx(1000)
    assert pace.mfu == pytest.approx(1e6 * 1000 / 2e12)
    assert set(pace.figures()) == {"tokens_per_second", "mfu", "memory_bytes"}


def test_a_step_longer_than_the_window_still_counts() -> None:
    pace = Pace(1e6, PEAK, CPU, window_seconds=1)
    pace.add(500, 5.0)
    pace.add(1000, 5.0)
    assert pace.tokens_per_second == 200


def test_the_note_says_what_a_person_watches() -> None:
    pace = Pace(1e6, PEAK, CPU)
    pace.add(12_345, 0.1)
    note = pace.note(loss=3.4118, bits=1.0119)
    assert note.startswith("loss 3.412 · 1.012 bits/byte · 123,450 tokens/s · MFU 12.3 % · ")
    assert note.endswith(" GiB")
