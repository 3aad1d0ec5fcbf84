"""`export compressed`: what is written is the rounded model, and opens without dilmaç."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import FEW, make_model
from transformers import AutoModelForCausalLM

from dilmac import cli
from dilmac.core import InputError, MissingDependencyError
from dilmac.engines.precision import load_in_precision
from dilmac.export import (
    CompressedConfig,
    DoctorConfig,
    GgufConfig,
    OllamaConfig,
    OnnxConfig,
    VerifyConfig,
    examine_model,
    export_compressed,
    export_gguf,
    export_ollama,
    export_onnx,
    verify_export,
)
from dilmac.models import load_model
from dilmac.training import FinetuneConfig, finetune

pytest.importorskip("compressed_tensors", reason="needs the extra `compressed`")
IDS = torch.tensor([[1, *range(300, 360)]])


def config_for(model: Path, out: Path, **changes: Any) -> CompressedConfig:
    return CompressedConfig.model_validate({"model": model, "out": out, **FEW, **changes})


KINDS = [("qwen3", "w4a16"), ("qwen2", "w8a8"), ("mistral", "w4a16"), ("llama", "w8a8")]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def exported(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sample_tokenizer: Path,
) -> Path:
    """A folder of the type's name, beside `model`, which it was made from."""
    kind, storage = request.param
    folder = tmp_path_factory.mktemp("compressed")
    made = make_model(folder / "model", sample_tokenizer, kind)
    return export_compressed(config_for(made, folder / storage, type=storage)).path


@pytest.fixture(scope="module")
def model(exported: Path) -> Path:
    return exported.parent / "model"


def unpacked(weights: dict[str, torch.Tensor], name: str) -> np.ndarray[Any, Any]:
    """A matrix by the format alone: steps times their scales."""
    scale = weights[f"{name}.weight_scale"].float().numpy()
    if f"{name}.weight" in weights:
        steps = weights[f"{name}.weight"].numpy()
        assert steps.dtype == np.int8
        return steps * scale
    packed = weights[f"{name}.weight_packed"].numpy().view(np.uint32)  # the lowest bits are first
    nibbles = packed[..., None] >> np.arange(0, 32, 4, dtype=np.uint32) & 15
    rows, columns = weights[f"{name}.weight_shape"].tolist()
    steps = nibbles.reshape(rows, -1)[:, :columns].astype(np.float32) - 8
    return steps * scale.repeat(columns // scale.shape[1], 1)


def test_every_matrix_is_rounded_to_its_nearest_step(exported: Path, model: Path) -> None:
    weights, source = load_file(exported / "model.safetensors"), load_model(model).state_dict()
    names = [name.removesuffix(".weight_scale") for name in weights if name.endswith("_scale")]
    assert len(names) == 2 * 7
    for name in names:
        scale = weights[f"{name}.weight_scale"].float().numpy()
        groups = source[f"{name}.weight"].numpy().shape[1] // scale.shape[1]
        step = scale.repeat(groups, 1)
        moved = np.abs(unpacked(weights, name) - source[f"{name}.weight"].numpy())
        # Half a step; of the largest weight, which has no step above it, a whole one.
        assert (moved <= step * 1.01).all() and (moved <= step * 0.51).mean() > 0.97
    rest = {name for name in source if name.removesuffix(".weight") not in names}
    assert {"lm_head.weight", "model.embed_tokens.weight"} <= rest
    for name in rest:
        assert torch.equal(weights[name].float(), source[name].bfloat16().float())
    assert weights["lm_head.weight"].dtype == torch.bfloat16


def test_it_opens_without_dilmac(exported: Path, model: Path) -> None:
    kind = exported.name
    plain = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32).eval()
    source = load_model(model).eval()
    with torch.inference_mode():
        theirs = torch.log_softmax(plain(IDS).logits, -1)
        ours = torch.log_softmax(source(IDS).logits, -1)
    difference = float((theirs - ours).abs().max())
    assert 0 < difference < {"w4a16": 5.0, "w8a8": 0.5}[kind]  # of random weights [nats]
    said = json.loads((exported / "config.json").read_text(encoding="utf-8"))
    groups = said["quantization_config"]["config_groups"]["group_0"]
    assert said["quantization_config"]["quant_method"] == "compressed-tensors"
    assert said["quantization_config"]["ignore"] == ["lm_head"]
    # Rows of 64, 96 and 128 weights: 32 is the largest size that cuts them all.
    assert groups["weights"].get("group_size") == {"w4a16": 32, "w8a8": None}[kind]
    assert (groups["input_activations"] is not None) == (kind == "w8a8")


def test_it_is_proved_verified_and_sound(exported: Path, model: Path) -> None:
    figures = json.loads((exported / "artifact.json").read_text(encoding="utf-8"))["figures"]
    assert figures["parity"]["ids"]["different"] == 0
    assert figures["parity"]["loss"]["bits_per_byte_after"] > 0
    assert figures["parity"]["logprobs"]["positions"] == FEW["num_positions"]
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert f"# model, {exported.name}" in card and "vllm serve ." in card
    again = verify_export(VerifyConfig(folder=exported, model=model))
    assert again["same_source"] and again["same_figures"]
    found = examine_model(DoctorConfig(model=exported))["findings"]
    assert [finding["severity"] for finding in found] == ["note"]
    assert "quantized already (compressed-tensors)" in found[0]["found"]


def test_nothing_is_made_of_what_is_quantized_already(exported: Path, tmp_path: Path) -> None:
    few: dict[str, Any] = {"model": exported, "out": tmp_path / "out", **FEW}
    data = tmp_path / "data.jsonl"
    data.write_text('{"instruction": "Kim?", "response": "Ben."}\n', encoding="utf-8")
    for verb, config in (
        (export_gguf, GgufConfig(**few)),
        (export_ollama, OllamaConfig(**few, weights="folder")),
        (export_onnx, OnnxConfig(**few)),
        (export_compressed, CompressedConfig(**few)),
        (finetune, FinetuneConfig(model=exported, data=data, out=tmp_path / "out")),
    ):
        with pytest.raises(InputError, match="quantized already"):
            verb(config)
    for precision in ("int8", "bnb8"):
        with pytest.raises(InputError, match="quantized already"):
            load_in_precision(exported, precision, torch.device("cpu"))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_compressed_is_refused(sample_tokenizer: Path, tmp_path: Path) -> None:
    experts = make_model(tmp_path / "experts", sample_tokenizer, "qwen3_moe")
    with pytest.raises(InputError, match="Qwen3MoeForCausalLM cannot be compressed"):
        export_compressed(config_for(experts, tmp_path / "out"))
    odd = make_model(tmp_path / "odd", sample_tokenizer, "llama", intermediate_size=90)
    with pytest.raises(InputError, match=r"rows of \[64, 90, 128\] weights"):
        export_compressed(config_for(odd, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_said_with_its_mend(
    exported: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "compressed_tensors.quantization", None)
    with pytest.raises(MissingDependencyError) as caught:
        export_compressed(config_for(model, tmp_path / "out"))
    assert caught.value.mend == "pip install 'dilmac[compressed]'"
    assert not (tmp_path / "out").exists()

    def without(*_: Any, **__: Any) -> None:
        raise ImportError("compressed-tensors>=0.15.0 is required")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", without)
    with pytest.raises(MissingDependencyError, match="cannot be loaded") as caught:
        load_model(exported)
    assert caught.value.mend == "pip install 'dilmac[compressed]'"


def test_tied_tables_are_written_once_and_talk(
    sample_tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tied = make_model(tmp_path / "tied", sample_tokenizer, "llama", tied=True)
    few = ["--num-lines", "20", "--num-fuzz", "40", "--num-positions", "60"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", "compressed", "--model", str(tied), "--out", str(tmp_path / "x"), *few])
    assert ended.value.code == 0
    weights = load_file(tmp_path / "x" / "model.safetensors")
    assert "lm_head.weight" not in weights and "model.embed_tokens.weight" in weights
    capsys.readouterr()
    moved = shutil.copytree(tmp_path / "x", tmp_path / "elsewhere")
    with pytest.raises(SystemExit) as ended:
        cli.main(["chat", "--model", str(moved), "--say", "Merhaba", "--max-tokens", "5"])
    assert ended.value.code == 0 and capsys.readouterr().out.strip()
