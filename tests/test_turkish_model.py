"""The guides' one call: its settings reach their stages, and it runs from a Qwen3 to a GGUF."""

import sys
from pathlib import Path

import pytest
import torch

from dilmac import ModelConfig, TurkishModelTrainer, TurkishTokenizerTrainer
from dilmac.core import (
    ConfigError,
    MissingDependencyError,
    bundled_instructions,
    bundled_prose,
    bundled_recipe,
    open_artifact,
)
from dilmac.recipe import check_stages
from transplant.small_models import make_model

# A tiny model has tiny budgets; nothing else of the recipe is changed.
BUDGETS = (
    "healed.tokens=4000",
    "healed.batch_tokens=2048",
    "chat.max_length=256",
    "gguf.num_lines=50",
    "gguf.num_fuzz=100",
    "gguf.num_positions=200",
)


def test_the_guide_s_settings_reach_their_stages(tmp_path: Path) -> None:
    config = ModelConfig(
        model_name="mine",
        turkish_tokenizer_path="tr32k",
        english=("english/",),
        use_4bit=False,
        batch_size=2,
        num_epochs=1,
        set=("gguf.type=f16",),
    )
    stages = TurkishTokenizerTrainer(config).stages("data.jsonl")["stages"]
    assert "tokenizer" not in stages and stages["transplanted"]["tokenizer"] == "tr32k"
    assert stages["before"]["model"] == stages["transplanted"]["model"] == "mine"
    assert stages["healed"]["replay"] == ["@english"]
    assert list(stages).index("english") < list(stages).index("healed")
    chat = stages["chat"]
    assert (chat["method"], chat["data"], chat["epochs"]) == ("lora", ["data.jsonl"], 1)
    assert (chat["micro_batch_size"], chat["batch_size"]) == (2, 16)
    assert stages["gguf"]["type"] == "f16"


def test_it_is_extended_and_on_four_bits_by_default() -> None:
    stages = TurkishModelTrainer(ModelConfig()).stages()["stages"]
    assert stages["tokenizer"]["base"] == "Qwen/Qwen3-0.6B"
    assert stages["transplanted"]["tokenizer"] == "@tokenizer"
    assert stages["chat"]["method"] == "qlora"
    assert stages["chat"]["data"] == ["@sample.instructions"]


def test_all_parameters_on_four_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="use_4bit=False"):
        ModelConfig(use_lora=False)
    stages = TurkishModelTrainer(ModelConfig(use_4bit=False, use_lora=False)).stages()["stages"]
    assert stages["chat"]["method"] == "full"


def test_an_unknown_setting_is_refused_before_any_stage(byte_level: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "qwen3", byte_level)
    config = ModelConfig(model_name=str(tmp_path / "qwen3"), set=("chat.lora_rnak=3",))
    values = TurkishModelTrainer(config).stages()
    with pytest.raises(ConfigError, match="lora_rank"):
        check_stages(values, bundled_recipe("qwen-turkish"), tmp_path / "out")


def test_a_missing_package_is_said_before_any_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    config = ModelConfig(output_dir=tmp_path / "out")
    with pytest.raises(MissingDependencyError, match=r"pip install 'dilmac\[qlora\]'"):
        TurkishModelTrainer(config).train()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_from_a_qwen_and_instructions_to_a_chat_model(byte_level: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra qlora")
    real = {"num_rows": 640, "dtype": torch.bfloat16, "max_position_embeddings": 4096}
    make_model(tmp_path / "qwen3", byte_level, initializer_range=0.02, **real)
    lines = bundled_instructions()[0].read_text(encoding="utf-8").splitlines()[:20]
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = ModelConfig(
        model_name=str(tmp_path / "qwen3"),
        texts=tuple(map(str, bundled_prose())),
        new_rows=300,
        num_epochs=1,
        output_dir=tmp_path / "out",
        set=BUDGETS,
    )
    run = TurkishModelTrainer(config).train(data)
    assert run.figures["transplanted"]["way"] == "extend"
    assert run.figures["before"]["bits_per_byte"] > 0 < run.figures["after"]["bits_per_byte"]
    chat = open_artifact(tmp_path / "out" / "chat")
    assert chat.manifest.config["method"] == "qlora" and (chat.path / "README.md").is_file()
    assert list((tmp_path / "out" / "gguf").glob("*.gguf"))
    again = TurkishModelTrainer(config).train(data)
    assert {name: made.manifest.run for name, made in again.artifacts.items()} == {
        name: made.manifest.run for name, made in run.artifacts.items()
    }
