"""A longer context: the weights stay, the positions are stretched, the cost is measured."""

import json
from pathlib import Path

import pytest
import torch

from dilmac.core import ConfigError, InputError, bundled_prose
from dilmac.models import load_model, save_model
from dilmac.tokenizer import Tokenizer, copy_tokenizer
from dilmac.training import RescaleConfig, rescale


@pytest.fixture
def positional(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with attention so strong that positions count, as in one trained longer."""
    model = load_model(tiny_model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "self_attn" in name:
                weight.copy_(torch.randn_like(weight) * 0.3)
    folder = tmp_path / "positional"
    folder.mkdir()
    save_model(model, folder)
    copy_tokenizer(tiny_model, folder)
    return folder


def test_a_rescaled_model_reads_further_and_says_what_it_costs(
    positional: Path, tmp_path: Path
) -> None:
    text = str(bundled_prose()[0])
    config = RescaleConfig(
        model=positional, context=512, out=tmp_path / "m", text=(text,), max_text_bytes=4_000
    )
    made = rescale(config)
    old, new = load_model(positional), load_model(made.path)
    assert new.config.max_position_embeddings == 512
    assert new.config.rope_parameters["factor"] == 4.0
    for name, tensor in old.state_dict().items():
        assert torch.equal(tensor, new.state_dict()[name])
    assert Tokenizer(made.path).encode("Günaydın") == Tokenizer(positional).encode("Günaydın")
    by_window = made.figures["bits_per_byte_by_window"]
    assert set(by_window) == {"as_trained", "stretched"}
    assert set(by_window["as_trained"]) == {"128", "256", "512"}
    assert all(1 < bits < 20 for row in by_window.values() for bits in row.values())
    assert by_window["as_trained"] != by_window["stretched"]
    before, after = by_window["as_trained"]["128"], by_window["stretched"]["128"]
    assert made.figures["cost_within_the_trained_context"] == round(after - before, 4)
    further = by_window["stretched"]["512"]
    assert made.figures["cost_at_the_new_context"] == round(further - before, 4)
    assert "rescaled" in (made.path / "README.md").read_text(encoding="utf-8")
    assert (made.path / "LICENSE").is_file()


def test_without_text_nothing_is_measured(tiny_model: Path, tmp_path: Path) -> None:
    config = RescaleConfig(model=tiny_model, context=256, type="linear", out=tmp_path / "m")
    made = rescale(config)
    assert "bits_per_byte_by_window" not in made.figures
    settings = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert settings["rope_parameters"] == {
        "rope_type": "linear",
        "factor": 2.0,
        "rope_theta": 10000.0,
    }


def test_what_cannot_be_rescaled_or_measured_is_refused(
    tiny_model: Path, sample_corpus: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("Kısa bir metin.", encoding="utf-8")
    given = {"model": tiny_model, "out": tmp_path / "m"}
    with pytest.raises(ConfigError, match="not longer than the trained context of 128"):
        rescale(RescaleConfig.model_validate({**given, "context": 64}))
    with pytest.raises(InputError, match="the new context 256") as caught:
        rescale(RescaleConfig.model_validate({**given, "context": 256, "text": (str(short),)}))
    assert caught.value.where == "--text"
    with pytest.raises(InputError, match="no such file"):
        rescale(RescaleConfig.model_validate({**given, "context": 256, "text": ("nowhere.txt",)}))
    with pytest.raises(InputError, match="no such model folder"):
        rescale(RescaleConfig(model=tmp_path / "no", context=256, out=tmp_path / "m"))
    assert not (tmp_path / "m").exists()
