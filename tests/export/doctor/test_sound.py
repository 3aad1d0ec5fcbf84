"""No alarm on a sound model."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from dilmac.export import DoctorConfig, examine_model
from dilmac.models import model_folder
from dilmac.tokenizer import pretrained_names, pretrained_path

KINDS = (
    "llama", "llama-tied", "qwen3", "qwen3-tied", "qwen3-extended", "replaced", "grown", "adapter",
    "classifier",
    "gguf-f32", "gguf-f16", "gguf-q8_0", "gguf-qwen", "gguf-replaced",
)  # fmt: skip


def faults(model: Path, **settings: object) -> list[str]:
    """What is found, notes apart, as text."""
    config = DoctorConfig.model_validate({"model": model, **settings})
    found = examine_model(config)["findings"]
    return [f"{f['rule']}: {f['where']}: {f['found']}" for f in found if f["severity"] != "note"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_model_has_no_faults(sound: dict[str, Path], kind: str) -> None:
    assert faults(sound[kind]) == []


def test_a_k_quant_whose_rows_256_divides_has_no_faults(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    chooser = np.random.default_rng(0)
    writer.add_tensor("token_embd.weight", chooser.normal(size=(8, 256)).astype(np.float16))
    kind = gguf.GGMLQuantizationType.Q4_K
    shape = gguf.quant_shape_to_byte_shape((512, 256), kind)
    writer.add_tensor("blk.0.ffn_up.weight", np.zeros(shape, np.uint8), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert faults(path) == []


def test_every_kind_is_looked_at(sound: dict[str, Path]) -> None:
    assert set(KINDS) == set(sound)


@pytest.mark.parametrize("kind", ["gguf-f32", "gguf-qwen"])
def test_a_gguf_alone_and_one_with_its_source_have_no_faults(
    copied: Callable[[str], Path], sound: dict[str, Path], kind: str
) -> None:
    folder = copied(kind)
    source = sound["llama" if kind == "gguf-f32" else "qwen3"]
    assert faults(folder / "model.gguf", source=source) == []
    for file in folder.iterdir():
        if file.suffix != ".gguf":
            file.unlink()
    assert faults(folder / "model.gguf") == []


@pytest.mark.slow
def test_what_training_leaves_has_no_faults(
    tiny_model: Path, tiny_chat: Path, tiny_gguf: Path
) -> None:
    for folder in (tiny_model, tiny_chat, tiny_chat / "adapter", tiny_gguf):
        assert faults(folder) == [], folder.name


@pytest.mark.slow
def test_what_ships_has_no_faults() -> None:
    assert faults(model_folder("dilmac-mini")) == []
    for name in pretrained_names():
        assert faults(pretrained_path(name)) == []


@pytest.mark.slow
def test_qwens_own_tokenizer_lacks_a_template_only(shared: Path) -> None:
    found = faults(shared / "tokenizers" / "qwen3")
    assert [line.split(":")[0] for line in found] == ["chat-template"]
