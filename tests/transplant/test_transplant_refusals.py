"""What the verb refuses, and that nothing half-written stays."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import (
    change_config,
    copied,
    make_model,
    run,
)

from dilmac.core import DilmacError
from dilmac.models import shipped_model
from dilmac.transplant import TransplantConfig


def refused(tmp_path: Path, model: Path, tokenizer: Path | str, found: str, **others: Any) -> None:
    with pytest.raises(DilmacError, match=found):
        run(tmp_path / "out", model, tokenizer, **others)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_unknown_architectures_are_refused_with_those_that_are_known(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    folder = copied(qwen, tmp_path)
    change_config(folder, model_type="gpt_neox")
    refused(tmp_path, folder, sample_tokenizer, r"'gpt_neox' is not known(.|\n)*qwen3_moe")
    change_config(folder, model_type=["qwen3"])
    refused(tmp_path, folder, sample_tokenizer, "is not known")


@pytest.mark.parametrize("damage", [{"hidden_size": "abc"}, {"layer_types": ["nope", "nope"]}])
def test_a_config_that_transformers_does_not_read(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path, damage: dict[str, Any]
) -> None:
    folder = copied(qwen, tmp_path)
    change_config(folder, **damage)
    refused(tmp_path, folder, sample_tokenizer, "transformers cannot read it")


def test_a_head_that_is_not_there(tmp_path: Path, qwen: Path, sample_tokenizer: Path) -> None:
    folder = copied(qwen, tmp_path)
    change_config(folder, tie_word_embeddings=False)
    refused(tmp_path, folder, sample_tokenizer, "no head in it")


def test_a_head_of_its_own_in_a_tied_model(
    tmp_path: Path, byte_level: Path, sample_tokenizer: Path
) -> None:
    folder = make_model(tmp_path / "model", byte_level, tied=False)
    change_config(folder, tie_word_embeddings=True)
    refused(tmp_path, folder, sample_tokenizer, "lm_head.weight is another")


def test_other_rows_than_the_config_says(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    folder = copied(qwen, tmp_path)
    change_config(folder, vocab_size=700)
    refused(tmp_path, folder, sample_tokenizer, "config.json says 700 rows")


def test_a_tokenizer_that_ends_nothing(tmp_path: Path, qwen: Path, sample_tokenizer: Path) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(sample_tokenizer, folder)
    path = folder / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    for name in ("<|endoftext|>", "<|im_end|>"):
        text = text.replace(name, name.replace("|", "/"))
    path.write_text(text, encoding="utf-8")
    refused(tmp_path, qwen, folder, "none of the tokens that end an answer")


def test_a_tokenizer_that_is_not_the_models(
    tmp_path: Path, byte_level: Path, sample_tokenizer: Path, byte_level_extended: Path
) -> None:
    folder = make_model(tmp_path / "model", byte_level)
    shutil.copyfile(byte_level_extended / "tokenizer.json", folder / "tokenizer.json")
    refused(tmp_path, folder, sample_tokenizer, "its tokenizer 906")


def test_a_damaged_shard_and_pickled_weights(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    folder = copied(qwen, tmp_path)
    shard = folder / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-10])
    refused(tmp_path, folder, sample_tokenizer, "its header says")
    shard.unlink()
    torch.save({"model.embed_tokens.weight": torch.zeros(2)}, folder / "pytorch_model.bin")
    refused(tmp_path, folder, sample_tokenizer, "pickled weights")


def test_settings_that_cannot_be(tmp_path: Path, qwen: Path, sample_tokenizer: Path) -> None:
    refused(tmp_path, qwen, sample_tokenizer, "no method 'meen'", init="meen")
    refused(tmp_path, qwen, sample_tokenizer, "cannot hold its vocabulary", rows=500)
    refused(tmp_path, qwen, sample_tokenizer, "--donor", init="omp")
    refused(tmp_path, qwen, sample_tokenizer, "--corpus", init="focus")
    with pytest.raises(ValueError, match="--corpus"):
        TransplantConfig(
            model=str(qwen), tokenizer="tr32k", weighted_parts=True, out=tmp_path / "out"
        )
    refused(tmp_path, tmp_path / "nothing", sample_tokenizer, "no such model folder")
    refused(tmp_path, qwen, tmp_path / "nothing", "no tokenizer.json there")


def test_a_name_of_the_catalogue_is_that_of_the_hub(tmp_path: Path, sample_tokenizer: Path) -> None:
    found = "`hf download Qwen/Qwen3-0.6B --local-dir DIR`"  # offline, and not in any cache
    refused(tmp_path, Path("qwen3-0.6b"), sample_tokenizer, found)
    found = "`hf download Qwen/Qwen2.5-7B tokenizer.json"
    refused(tmp_path, shipped_model("dilmac-mini"), "qwen2.5-7b", found)
