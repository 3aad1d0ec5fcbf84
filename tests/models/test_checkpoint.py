"""Model folders: what is saved is sound, what is opened is safe."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from dilmac.core import DilmacError, InputError
from dilmac.models import load_model, preset_named, require_model_folder, save_model


def test_saved_weights_come_back(tmp_path: Path) -> None:
    model = LlamaForCausalLM(preset_named("tiny").shape_config(600))
    save_model(model, tmp_path)
    back = load_model(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, back.state_dict()[name])


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    model = LlamaForCausalLM(preset_named("tiny").shape_config(600))
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(DilmacError, match=r"norm\.weight holds NaN"):
        save_model(model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_truncated_weights_are_refused(tiny_model: Path, tmp_path: Path, keep: int) -> None:
    (tmp_path / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    weights = (tiny_model / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:keep])
    with pytest.raises(InputError, match="no readable safetensors"):
        load_model(tmp_path)


def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="pickled weights"):
        require_model_folder(tmp_path)
