"""`models show`: what is known is printed, what is not says so, and a folder is measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import transformers
from transformers import AutoModelForCausalLM

from dilmac.core import ConfigError, InputError
from dilmac.models import ShowConfig, catalogue, print_model, shipped_model, show_model


def test_a_model_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    figures = show_model(ShowConfig(model="qwen3-0.6b"))
    assert json.loads(json.dumps(figures)) == figures
    assert figures["memory"]["q4_k_m"]["kv_cache"] == 896 << 20
    assert figures["runs"]["transformers"]["runs"] is True
    assert figures["runs"]["Foundry Local"] == {"runs": None}
    print_model(figures)
    shown = capsys.readouterr().out
    for expected in (
        "hf download Qwen/Qwen3-0.6B --local-dir qwen3-0.6b",
        "runs in Foundry Local: unknown",
        "runs in Ollama: yes (as GGUF",
        "apache-2.0: free, commercial use included",
        "the KV cache is 2.4 times the 4-bit weights",
    ):
        assert expected in shown


@pytest.mark.parametrize("name", catalogue().models)
def test_every_model_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    figures = show_model(ShowConfig(model=name, context="1k", slots=2, kv_type="q8_0"))
    print_model(figures)
    shown = capsys.readouterr().out
    assert f"model: {name}" in shown and "None" not in shown
    if figures["parameters"] is None:
        assert "parameters: unknown" in shown


def test_what_a_name_says_is_not_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    print_model(show_model(ShowConfig(model="Qwen/Qwen2-57B-A14B-Instruct", context="128k")))
    shown = capsys.readouterr().out
    assert "parameters: ~57B, as its name says, 14B of them for a token" in shown
    assert "beyond its context of 65,536 tokens" in shown


def test_a_folder_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = transformers.Qwen3Config(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=1000,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "model")
    figures = show_model(ShowConfig(model=str(tmp_path / "model")))
    assert figures["parameters"] == model.num_parameters()
    assert figures["stored_bytes"] == 4 * model.num_parameters()
    assert figures["context_asked"] == 1000  # its own, which is shorter than 8k
    assert figures["shape"]["kv_heads"] == 2 and figures["architecture"] == "qwen3"
    assert figures["memory"]["bf16"]["kv_cache"] == 2 * 2 * 2 * 32 * 2 * 1000
    print_model(figures)
    assert f"parameters: {model.num_parameters():,}" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no config\.json"):
        show_model(ShowConfig(model=str(tmp_path)))


def test_a_folder_of_another_kind_is_not_guessed_at(tmp_path: Path) -> None:
    config = transformers.GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "gpt2")
    figures = show_model(ShowConfig(model=str(tmp_path / "gpt2")))
    assert figures["kv_bytes_per_token"] == 2 * 2 * 64 * 2
    assert figures["memory"]["q4_k_m"]["bits_per_weight"] == 5.28  # no Llama: what was measured
    latent = transformers.DeepseekV3Config(
        vocab_size=300,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        first_k_dense_replace=2,
        intermediate_size=96,
    )
    AutoModelForCausalLM.from_config(latent).save_pretrained(tmp_path / "latent")
    figures = show_model(ShowConfig(model=str(tmp_path / "latent")))
    assert figures["kv_bytes_per_token"] is None and figures["memory"]["bf16"]["total"] is None
    print_model(figures)


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_model("dilmac-mini"), folder)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="no readable safetensors"):
        show_model(ShowConfig(model=str(folder)))
    shutil.copyfile(
        shipped_model("dilmac-mini") / "model.safetensors", folder / "model.safetensors"
    )
    (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": "wide"}')
    with pytest.raises(InputError, match="transformers cannot read it"):
        show_model(ShowConfig(model=str(folder)))


def test_what_ships_is_shown_by_its_name() -> None:
    figures = show_model(ShowConfig(model="dilmac-mini"))
    assert figures["name"] == "dilmac-mini" and figures["parameters"] == 15_012_096
    assert figures == {
        **show_model(ShowConfig(model=str(shipped_model("dilmac-mini")))),
        "name": "dilmac-mini",
    }


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean Qwen3-0\.6B"):
        show_model(ShowConfig(model="qwen3-0.5b"))
    with pytest.raises(ConfigError, match="see `dilmac models list`"):
        show_model(ShowConfig(model="xyz"))
