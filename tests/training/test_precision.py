"""Arithmetic, compiling, and the scale of fp16."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainingArguments

from dilmac.core import ConfigError
from dilmac.training import PretrainConfig
from dilmac.training.precision import (
    WORTH_COMPILING_FLOPS,
    LossScale,
    on_one_device,
    resolve_compile,
    resolve_precision,
    training_device,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize("asked", ["bf16", "fp32"])
def test_what_is_asked_for_is_taken(asked: str) -> None:
    assert resolve_precision(asked, CPU) == resolve_precision(asked, GPU) == asked


def test_fp16_is_for_gpus() -> None:
    assert resolve_precision("fp16", GPU) == "fp16"
    with pytest.raises(ConfigError, match="fp16 is for GPUs"):
        resolve_precision("fp16", CPU)


@pytest.mark.parametrize(("amx", "avx", "wanted"), [(0, 0, "fp32"), (1, 0, "bf16"), (0, 1, "bf16")])
def test_a_cpu_takes_bf16_where_it_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, amx: int, avx: int, wanted: str
) -> None:
    able = {"amx_bf16": bool(amx), "avx512_bf16": bool(avx)}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert resolve_precision("auto", CPU) == wanted


@pytest.mark.parametrize(("has", "wanted"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_without_bf16_takes_fp16(
    monkeypatch: pytest.MonkeyPatch, has: bool, wanted: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has)
    assert resolve_precision("auto", GPU) == wanted


def test_long_runs_on_a_cpu_are_compiled_where_there_is_a_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/c++" if name == "c++" else None)
    assert resolve_compile("auto", CPU, 2 * WORTH_COMPILING_FLOPS)
    assert not resolve_compile("auto", CPU, WORTH_COMPILING_FLOPS / 2)
    assert resolve_compile("on", CPU, 1.0) and not resolve_compile("off", CPU, 1e20)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not resolve_compile("auto", CPU, 2 * WORTH_COMPILING_FLOPS)
    with pytest.raises(ConfigError, match="needs a C\\+\\+ compiler"):
        resolve_compile("on", CPU, 1.0)


@pytest.mark.parametrize(
    ("compiler", "capability", "lacks"),
    [
        ("gcc", (7, 0), None),
        ("clang", (9, 0), None),
        ("g++", (8, 0), "a C compiler, none was found"),
        ("cc", (6, 1), "a GPU of compute capability 7.0, this one has 6.1"),
    ],
)
def test_gpus_compile_where_that_can_be_done(
    *,
    compiler: str,
    capability: tuple[int, int],
    lacks: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == compiler else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert not resolve_compile("off", GPU, 1e20)
    assert resolve_compile("auto", GPU, 1.0) == (lacks is None)
    said = capsys.readouterr().err
    if lacks is None:
        assert not said and resolve_compile("on", GPU, 1.0)
        return
    assert lacks in said
    with pytest.raises(ConfigError, match=f"--compile: torch.compile needs {lacks}"):
        resolve_compile("on", GPU, 1.0)


@pytest.mark.parametrize("written", ["on", "off", "auto", '"on"'])
def test_compiling_is_asked_for_in_yaml(written: str) -> None:
    values = yaml.safe_load(f"{{corpus: c, tokenizer: t, out: o, compile: {written}}}")
    config = PretrainConfig.from_mapping(values, where="recipe: base")
    assert config.compile == written.strip('"')


def test_without_a_gpu_the_cpu_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert training_device(3) == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training_device(3) == torch.device("cuda", 3)


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 20), st.data())
def test_scale_follows_torchs_and_goes_on_from_its_state(
    overflows: list[bool], growth_steps: int, data: Any
) -> None:
    ours, theirs, quiet = LossScale(2.0**6, growth_steps), 2.0**6, 0
    turn = data.draw(st.integers(0, len(overflows)))
    for number, overflowed in enumerate(overflows):
        if number == turn:
            state, ours = ours.state(), LossScale(1.0, growth_steps)
            ours.load(state)
        ours.update(overflowed=overflowed)
        quiet = 0 if overflowed else quiet + 1  # as `torch.amp.GradScaler` documents it
        theirs = theirs / 2 if overflowed else theirs * (2 if quiet == growth_steps else 1)
        quiet %= growth_steps
        theirs = max(theirs, 1.0)
        assert ours.value == theirs


def test_several_gpus_do_not_multiply_the_batch(tmp_path: Path) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=4)
    arguments._n_gpu = 3  # as it is where three are seen
    assert arguments.train_batch_size == 12
    assert on_one_device(arguments).train_batch_size == 4
