"""Model folders that are not what they seem, and shapes that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dilmac.core import DilmacError, InputError
from dilmac.models import Preset, load_model, num_parameters, preset_named, require_model_folder


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_model / name).read_bytes())
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, **values}), encoding="utf-8")


def test_a_folder_opens_in_the_type_that_is_asked_for(copy: Path) -> None:
    assert load_model(copy).dtype == torch.float32
    assert load_model(copy, torch.bfloat16).dtype == torch.bfloat16
    assert require_model_folder(copy)["vocab_size"] == 1024


@pytest.mark.parametrize(
    "values",
    [
        {"model_type": "no-such-model"},
        {"vocab_size": 2048},
        {"hidden_size": 65},
        {"num_hidden_layers": "two"},
    ],
    ids=["type", "vocabulary", "width", "word-for-number"],
)
def test_weights_that_do_not_fit_their_config_are_refused(
    copy: Path, values: dict[str, Any]
) -> None:
    change(copy, **values)
    with pytest.raises(InputError, match="no loadable model"):
        load_model(copy)


def test_missing_layers_are_not_made_up(copy: Path) -> None:
    change(copy, num_hidden_layers=3)
    with pytest.raises(InputError, match="no loadable model"):
        load_model(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "\ufeff{}", '"x"', "null"])
def test_a_config_that_is_no_json_object_is_refused(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(DilmacError):
        require_model_folder(copy)


def test_a_file_or_nothing_is_no_model_folder(copy: Path) -> None:
    for path in (copy / "config.json", copy / "nowhere"):
        with pytest.raises(InputError, match="no such model folder"):
            load_model(path)


def test_code_of_its_own_is_not_run(copy: Path) -> None:
    marker = copy / "ran"
    (copy / "evil.py").write_text(f"open({str(marker)!r}, 'w')", encoding="utf-8")
    change(copy, auto_map={"AutoModelForCausalLM": "evil.Evil"})
    with pytest.raises(InputError, match="auto_map"):
        load_model(copy)
    assert not marker.exists()


def test_grouped_query_attention_is_counted() -> None:
    from transformers import LlamaForCausalLM

    shape = {**preset_named("quick").model_dump(), "num_kv_heads": 2, "tied": False}
    preset = Preset(**shape)
    with torch.device("meta"):
        model = LlamaForCausalLM(preset.shape_config(5000))
    assert model.num_parameters() == num_parameters(preset, 5000)
