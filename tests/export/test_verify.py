"""`export verify`: a sound export passes again, a changed byte or another model does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import pytest
from damage import flips
from tiny_models import FEW, config_of, make_model

from dilmac import cli
from dilmac.core import ArtifactError, InputError, ParityError, sha256_of
from dilmac.export import OllamaConfig, VerifyConfig, export_gguf, export_ollama, verify_export


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, sample_tokenizer: Path) -> Path:
    return make_model(tmp_path_factory.mktemp("verify") / "model", sample_tokenizer, "llama")


@pytest.fixture(scope="module")
def sound(model: Path) -> Path:
    few = {"num_lines": 20, "num_fuzz": 40, "num_positions": 20}
    return export_gguf(config_of(model, **few)).path


@pytest.fixture
def export(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "gguf"))


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 0x40
    file.write_bytes(data)


def test_a_sound_export_gives_its_figures_again(export: Path, model: Path) -> None:
    figures = verify_export(VerifyConfig(folder=export, model=model))
    assert figures["same_source"] and figures["same_figures"]
    recorded = json.loads((export / "parity.json").read_text(encoding="utf-8"))
    assert figures["parity"] == recorded and recorded["logprobs"]["positions"] == 20


def test_other_real_text_can_be_given(export: Path, model: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Kısa bir metin, sınamak için yazıldı.\n" * 3, encoding="utf-8")
    figures = verify_export(VerifyConfig(folder=export, model=model, text=(str(text),)))
    assert figures["parity"]["ids"]["lines"] <= 3 and not figures["same_figures"]


@pytest.mark.parametrize("name", ["model-f32.gguf", "tokenizer.json", "parity.json"])
def test_a_flipped_byte_is_found(export: Path, model: Path, name: str) -> None:
    flip(export / name, (export / name).stat().st_size - 100)
    with pytest.raises(ParityError, match="other bytes than artifact") as found:
        verify_export(VerifyConfig(folder=export, model=model))
    assert name in str(found.value)


def test_every_flipped_bit_of_a_tensor_is_told_by_its_hash(export: Path, model: Path) -> None:
    file = export / "model-f32.gguf"
    data = file.read_bytes()
    start = int(gguf.GGUFReader(file).data_offset)
    for _, new in flips(data[start:], len(data) - start, 20, seed=3):
        file.write_bytes(data[:start] + new)
        with pytest.raises(ParityError, match="other bytes than artifact"):
            verify_export(VerifyConfig(folder=export, model=model))


def test_a_file_that_is_cut_off_or_gone_is_found(export: Path, model: Path) -> None:
    file = export / "model-f32.gguf"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="another size"):
        verify_export(VerifyConfig(folder=export, model=model))
    file.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        verify_export(VerifyConfig(folder=export, model=model))


def test_another_model_fails_the_proof(
    export: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import LlamaForCausalLM

    other = Path(shutil.copytree(model, tmp_path / "other"))
    changed = LlamaForCausalLM.from_pretrained(other)
    with torch.no_grad():
        changed.model.norm.weight *= 1.5
    changed.save_pretrained(other)
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", "verify", str(export), "--model", str(other)])
    assert ended.value.code == 2
    assert "log-probabilities differ" in capsys.readouterr().err


def test_a_file_whose_hash_was_mended_too_fails_the_proof(export: Path, model: Path) -> None:
    """Whoever changes a tensor may change artifact.json as well: the logits tell."""
    file = export / "model-f32.gguf"
    reader = gguf.GGUFReader(file, "r+")
    head = next(tensor for tensor in reader.tensors if tensor.name == "output.weight")
    head.data[:] = head.data[::-1].copy()
    reader.data.flush()
    path = export / "artifact.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["files"][file.name]["sha256"] = sha256_of(file)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ParityError, match="log-probabilities differ"):
        verify_export(VerifyConfig(folder=export, model=model))


def test_what_is_no_export_is_refused(model: Path, sample_tokenizer: Path) -> None:
    with pytest.raises(InputError, match="holds a tokenizer, no export"):
        verify_export(VerifyConfig(folder=sample_tokenizer, model=model))
    with pytest.raises(InputError, match="not made by dilmac"):
        verify_export(VerifyConfig(folder=model, model=model))


def test_ollamas_folders_are_verified_too(model: Path, tmp_path: Path) -> None:
    for weights in ("gguf", "folder"):
        made = export_ollama(
            OllamaConfig.model_validate(
                {"model": model, "out": tmp_path / weights, "type": "f32", **FEW}
                | {"weights": weights}
            )
        )
        figures = verify_export(VerifyConfig(folder=made.path, model=model))
        assert figures["same_source"] and figures["files"] == len(made.manifest.files)
    other = Path(shutil.copytree(model, tmp_path / "other"))
    flip(other / "model.safetensors", -10)
    with pytest.raises(ParityError, match="is another file than the export's"):
        verify_export(VerifyConfig(folder=tmp_path / "folder", model=other))
    modelfile = tmp_path / "gguf" / "Modelfile"
    flip(modelfile, 0)
    with pytest.raises(ParityError, match="Modelfile"):
        verify_export(VerifyConfig(folder=tmp_path / "gguf", model=model))
