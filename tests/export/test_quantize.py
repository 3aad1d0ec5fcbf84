"""K-quants: by real llama-cpp-python where an environment has it; what is said where none has."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dilmac.core import DilmacError, InputError, read_json
from dilmac.export import export_gguf, verify_export
from dilmac.export.architectures import architecture_of
from dilmac.export.config import VerifyConfig
from dilmac.export.importance import importance_of
from dilmac.export.parity import last_rows
from dilmac.export.quantize import K_QUANTS, quantize_gguf, warn_of_short_rows
from dilmac.export.tensors import Weights, plan_tensors
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer
from export.tiny_models import config_of, make_model

# llama-cpp-python is built from source and stays in an environment of its own:
# python3 -m venv env && env/bin/pip install llama-cpp-python -c constraints.txt
VARIABLE = "DILMAC_TEST_QUANTIZE_PYTHON"
PYTHON = os.environ.get(VARIABLE)
needs_quantizer = pytest.mark.skipif(not PYTHON, reason=f"{VARIABLE} names no Python with it")


@pytest.fixture
def model(tmp_path: Path, sample_tokenizer: Path) -> Path:
    """A model whose rows K-quants can pack, but for those of one projection."""
    return make_model(
        tmp_path / "model",
        sample_tokenizer,
        "qwen3",
        hidden_size=256,
        intermediate_size=320,
        num_attention_heads=8,
    )


@needs_quantizer
@pytest.mark.parametrize("kind", K_QUANTS)
def test_every_type_is_written_and_measured(
    model: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(model, type=kind, quantize_python=PYTHON, importance_tokens=512)
    artifact = export_gguf(config)
    figures = artifact.figures
    plain = export_gguf(config_of(model, type="q8_0", out=model.parent / "plain")).figures
    assert figures["bits_per_weight"] < plain["bits_per_weight"] == pytest.approx(8.5, abs=0.1)
    assert figures["num_bytes"] == (artifact.path / figures["file"]).stat().st_size
    assert kind.upper()[:4] in figures["tensors"]
    # `down` has rows of 320: two of them, which llama.cpp packs in blocks of 32.
    assert "rows that 256 does not divide" in capsys.readouterr().err
    assert figures["parity"]["ids"]["different"] == 0
    assert figures["parity"]["logprobs"]["same_best_percent"] > 20  # by chance 0.1
    assert [path.name for path in artifact.path.glob("*.gguf")] == [figures["file"]]
    assert not list(artifact.path.glob("*.npz"))
    assert "quantize_python" not in read_json(artifact.path / "artifact.json")["config"]
    again = verify_export(VerifyConfig(folder=artifact.path, model=model))
    assert again["same_figures"]


@needs_quantizer
def test_what_columns_count_for_changes_the_bytes(model: Path) -> None:
    made = {}
    for tokens in (0, 512):
        out = model.parent / f"out-{tokens}"
        config = config_of(
            model, type="q4_k_m", quantize_python=PYTHON, importance_tokens=tokens, out=out
        )
        made[tokens] = (out / export_gguf(config).figures["file"]).read_bytes()
    assert len(made[0]) == len(made[512]) and made[0] != made[512]


@needs_quantizer
def test_a_file_that_llamacpp_refuses_is_told_with_its_reason(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    source.write_bytes(b"GGUF and nothing more")
    with pytest.raises(DilmacError, match=r"cannot quantize it: .+"):
        quantize_gguf(source, tmp_path / "target.gguf", "q6_k", Path(str(PYTHON)), {})
    assert [path.name for path in tmp_path.iterdir()] == ["source.gguf"]


@pytest.mark.parametrize(
    ("python", "found"),
    [(None, "needs llama-cpp-python"), ("no/such/python", "is no Python")],
)
def test_without_llama_cpp_python_nothing_is_begun(
    model: Path, python: str | None, found: str
) -> None:
    if python is None and _has_library():
        pytest.skip("this environment has llama-cpp-python")
    with pytest.raises(InputError, match=found) as told:
        export_gguf(config_of(model, type="q4_k_m", quantize_python=python))
    assert "pip install" in str(told.value.mend)
    assert not [path for path in model.parent.iterdir() if "gguf" in path.name]


def _has_library() -> bool:
    from importlib.util import find_spec

    return find_spec("llama_cpp") is not None and bool(sys.executable)


def test_importance_is_the_mean_square_of_a_layers_inputs(model: Path) -> None:
    config = config_of(model, importance_tokens=512)
    rows = last_rows(config)
    assert sum(map(len, rows)) == pytest.approx(512, abs=256)
    loaded = load_model(model).eval()
    settings = read_json(model / "config.json")
    with Weights(model) as weights:
        assert weights.exact_storage() == "f32"
        plan = plan_tensors(weights, architecture_of(settings, model), settings, "f32")
    found = importance_of(loaded, plan, rows)
    matrices = {written.name for written in plan if len(written.shape) == 2}
    assert set(found) == matrices - {"token_embd.weight"}
    with torch.inference_mode():
        states = [
            loaded(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[0]
            for ids in rows
        ]
        normed = loaded.model.layers[0].input_layernorm(torch.cat([s[0] for s in states]))
    expected = normed.square().mean(0).numpy()
    assert np.allclose(found["blk.0.attn_q.weight"], expected, rtol=1e-4)
    assert not loaded.model.layers[0].self_attn.q_proj._forward_pre_hooks


def test_the_importance_is_counted_where_the_proof_does_not_read(model: Path) -> None:
    text = model.parent / "text.txt"
    text.write_text("\n".join(f"{n}. satır burada durur." for n in range(400)), encoding="utf-8")
    rows = last_rows(config_of(model, text=(str(text),), importance_tokens=256))
    read = Tokenizer(model).decode([row for ids in rows for row in ids])
    assert read.rstrip().endswith("399. satır burada durur.") and "10. satır" not in read[:40]


def test_short_rows_are_told_with_the_true_bits(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_short_rows({"Q4_K": 3, "Q6_K": 1, "F32": 9}, "q4_k_m", 4.9)
    assert capsys.readouterr().err == ""
    warn_of_short_rows({"Q4_K": 3, "Q5_0": 2, "F32": 9}, "q4_k_m", 5.25)
    assert "cannot be Q4_K_M: 2 as Q5_0; 5.25 bits per weight" in capsys.readouterr().err
