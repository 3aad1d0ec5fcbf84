"""Precisions of the transformers engine: each one answers, and what cannot be is refused."""

import importlib.util
from pathlib import Path

import pytest
import torch

from dilmac.core import ConfigError, EngineError, MissingDependencyError
from dilmac.engines import Engine, EngineSpec, Precision, Sampling, Token
from dilmac.engines.precision import load_in_precision, resolve_precision
from dilmac.engines.transformers import Transformers
from dilmac.serve import ChatConfig

CPU, GPU = torch.device("cpu"), torch.device("cuda")
PROMPT = [1, *range(300, 340)]


def backend_of(model: Path, precision: Precision) -> Transformers:
    return Transformers(EngineSpec(kind="transformers", model=model, precision=precision))


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16", None])
def test_auto_takes_bf16_where_the_machine_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    assert resolve_precision("auto", CPU) == ("bf16" if name else "fp32")
    assert resolve_precision("auto", GPU) == "bf16"


def test_what_a_machine_has_no_arithmetic_for_is_refused() -> None:
    assert resolve_precision("fp16", GPU) == "fp16" and resolve_precision("int8", CPU) == "int8"
    for asked, device in (("fp16", CPU), ("int8", GPU)):
        with pytest.raises(ConfigError, match=f"--precision: {asked} is for") as caught:
            resolve_precision(asked, device)
        assert caught.value.mend


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.02), ("int8", 0.02), ("bnb4", 0.1)])
def test_a_precision_answers_nearly_as_fp32_does(
    blank_model: Path, precision: Precision, bound: float
) -> None:
    if precision == "bnb4":
        pytest.importorskip("bitsandbytes")
    exact, rounded = backend_of(blank_model, "fp32"), backend_of(blank_model, precision)
    pairs = zip(exact.logprobs([(PROMPT, 1)])[0], rounded.logprobs([(PROMPT, 1)])[0], strict=True)
    differences = [abs(ours - theirs) for (ours, _), (theirs, _) in pairs]
    assert 0 < max(differences) < bound
    items = list(rounded.generate(PROMPT, Sampling(max_tokens=3, temperature=0), bool))
    assert [isinstance(item, Token) for item in items] == [True, True, True, False]


def test_int8_packs_a_tied_head_and_leaves_the_table(blank_model: Path) -> None:
    model = load_in_precision(blank_model, "int8", CPU)
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    assert head is not None and head.weight().dtype == torch.qint8
    assert table.weight.dtype == torch.float32


def test_the_extra_is_named(blank_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'dilmac\[qlora\]'") as caught:
        load_in_precision(blank_model, "bnb4", CPU)
    assert caught.value.where == "--precision bnb4"


def test_a_precision_is_refused_where_the_file_decides(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match="the file's own type decides"):
        ChatConfig(model=file, precision="bf16").engine_spec()
    spec = ChatConfig(precision="bf16").engine_spec()  # of a model that ships
    assert spec.kind == "transformers" and spec.precision == "bf16"


@pytest.mark.slow  # the start of a process
@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 is taken on a GPU")
def test_the_flag_is_named_by_the_engine_s_process(blank_model: Path) -> None:
    with pytest.raises(EngineError, match="--precision: fp16 is for GPUs"):
        Engine(EngineSpec(kind="transformers", model=blank_model, precision="fp16"))
