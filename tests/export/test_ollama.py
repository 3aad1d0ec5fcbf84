"""Ollama: the Modelfile of a model, its GGUF with the proof, and folders that Ollama imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import FEW, change_json, make_model

from dilmac import cli
from dilmac.core import InputError, open_artifact, read_json
from dilmac.export import OllamaConfig, export_ollama
from dilmac.export.chat_template import go_template
from dilmac.export.modelfile import Instruction, read_modelfile
from dilmac.export.ollama import sampling_of


@pytest.fixture
def llama(tmp_path: Path, sample_tokenizer: Path) -> Path:
    return make_model(tmp_path / "Küçük Model", sample_tokenizer, "llama")


def config_of(model: Path, **changes: Any) -> OllamaConfig:
    return OllamaConfig.model_validate(
        {"model": model, "out": model.parent / "out", "type": "f32", **FEW, **changes}
    )


def said(folder: Path) -> list[Instruction]:
    return read_modelfile((folder / "Modelfile").read_text(encoding="utf-8"))


def test_the_folder_holds_a_proved_gguf_and_its_modelfile(
    llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (llama / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    (llama / "LICENSE").write_text("Apache License\n\f\n   Version 2.0\r\n", encoding="utf-8")
    (llama / "generation_config.json").write_text(
        '{"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.05}', encoding="utf-8"
    )
    made = export_ollama(config_of(llama, system='Sen "Ada"sın.\nKısa yaz.'))
    assert made.figures["parity"]["ids"]["different"] == 0
    assert (made.path / "parity.json").is_file()
    assert said(made.path) == [
        ("FROM", "./model-f32.gguf"),
        ("TEMPLATE", go_template(thinks=True)),
        ("PARAMETER", "num_ctx 256"),
        ("PARAMETER", "temperature 0.6"),
        ("PARAMETER", "top_k 20"),
        ("PARAMETER", "top_p 0.95"),
        ("PARAMETER", "min_p 0.0"),
        ("PARAMETER", "repeat_penalty 1.05"),
        ("PARAMETER", "stop <|im_end|>"),
        ("PARAMETER", "stop <|im_start|>"),
        ("PARAMETER", "stop <|endoftext|>"),
        ("SYSTEM", 'Sen "Ada"sın.\nKısa yaz.'),
        ("LICENSE", "Apache License\n\n   Version 2.0"),
    ]
    told = capsys.readouterr().err
    assert f"ollama create kucuk-model -f {made.path / 'Modelfile'}" in told
    assert "ollama run kucuk-model" in told


def test_a_llama_folder_can_be_laid_out_for_ollamas_own_import(llama: Path) -> None:
    made = export_ollama(config_of(llama, weights="folder", name="ada:1", context=128))
    assert said(made.path)[0] == ("FROM", ".")
    assert ("PARAMETER", "num_ctx 128") in said(made.path)
    assert "parity" not in made.figures and made.figures["name"] == "ada:1"
    for name in ("model.safetensors", "config.json", "tokenizer.model", "tokenizer_config.json"):
        assert (made.path / name).read_bytes() == (llama / name).read_bytes()
    assert open_artifact(made.path, "ollama").manifest.files.keys() >= {"Modelfile", "config.json"}


def test_qwen3_and_what_ollama_would_misread_is_not_laid_out(
    tmp_path: Path, llama: Path, byte_level: Path
) -> None:
    qwen3 = make_model(tmp_path / "qwen3", byte_level, "qwen3")
    with pytest.raises(InputError, match="cannot import the safetensors of a Qwen3ForCausalLM"):
        export_ollama(config_of(qwen3, weights="folder"))
    (llama / "tokenizer.model").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.model in it"):
        export_ollama(config_of(llama, weights="folder"))
    assert not (tmp_path / "out").exists()


def test_byte_level_qwen2_can_be_imported(tmp_path: Path, byte_level: Path) -> None:
    qwen2 = make_model(tmp_path / "qwen2", byte_level, "qwen2")
    made = export_ollama(config_of(qwen2, weights="folder"))
    assert (made.path / "tokenizer.json").is_file() and not (made.path / "parity.json").exists()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"system": 'a """ b'}, "would end its quotation"),
        ({"context": 300}, "300 tokens, the model has 256"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    llama: Path, changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(InputError, match=fault):
        export_ollama(config_of(llama, **changes))
    assert not (llama.parent / "out").exists()


@pytest.mark.parametrize("name", ["ada modeli", "../ada", "-f", "ada\nFROM x"])
def test_a_name_that_ollama_would_not_take_is_refused(llama: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        config_of(llama, name=name)


def test_sampling_is_as_stated_or_as_in_our_chat(tmp_path: Path) -> None:
    usual = sampling_of(tmp_path)
    assert usual["temperature"] == 0.7 and usual["repeat_penalty"] == 1.1
    path = tmp_path / "generation_config.json"
    change_json(path, do_sample=False, top_k=0, temperature=0.9)
    assert sampling_of(tmp_path)["temperature"] == 0 and sampling_of(tmp_path)["top_k"] == 0
    for key, value in (("top_p", "0.9"), ("top_p", 1.5), ("temperature", True), ("top_k", -1)):
        change_json(path, **{**read_json(path), "top_p": 0.9, "temperature": 1, "top_k": 1})
        change_json(path, **{key: value})
        with pytest.raises(InputError, match=f"{key} .* is no number"):
            sampling_of(tmp_path)


def test_the_command_prints_its_figures(llama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", str(llama), "--weights", "folder", "--out", str(llama.parent / "out")]
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", "ollama", *flags])
    assert ended.value.code == 0
    assert "weights: folder" in capsys.readouterr().out
