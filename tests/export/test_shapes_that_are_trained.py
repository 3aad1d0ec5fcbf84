"""The parity proof at its full size, for the shapes that are trained and the model that ships."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from dilmac.export import GgufConfig, export_gguf
from dilmac.models import preset_named, save_model, shipped_model
from dilmac.tokenizer import Tokenizer, copy_tokenizer, pretrained_path

pytestmark = pytest.mark.slow


def prove(model: Path, out: Path) -> None:
    parity = export_gguf(GgufConfig(model=model, out=out)).figures["parity"]
    assert parity["ids"]["different"] == parity["ids"]["lossy"] == 0
    assert parity["ids"]["lines"] + parity["ids"]["fuzz_strings"] >= 2_400
    assert parity["logprobs"]["positions"] == 2_000
    assert parity["logprobs"]["largest_difference"] <= parity["logprobs"]["bound"]
    assert parity["logprobs"]["best_differs_beyond_margin"] == 0


@pytest.mark.parametrize("preset", ["mini", "134m", "134m-tied"])
def test_random_weights_pass(preset: str, tmp_path: Path) -> None:
    tokenizer = pretrained_path("tr32k")
    torch.manual_seed(42)
    config = preset_named(preset).shape_config(len(Tokenizer(tokenizer)))
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(LlamaForCausalLM(config), folder)
    copy_tokenizer(tokenizer, folder)
    prove(folder, tmp_path / "gguf")


def test_what_ships_passes(tmp_path: Path) -> None:
    prove(shipped_model("dilmac-mini"), tmp_path / "gguf")
