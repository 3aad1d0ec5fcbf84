"""Tiny sound models of every kind that dilmaç makes, and an adapter and GGUF files of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tiny_models import SHAPE, change_json
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from dilmac.core import read_json
from dilmac.export.gguf import write_gguf
from dilmac.tokenizer import CHAT_TEMPLATE, Tokenizer, copy_tokenizer
from dilmac.transplant import TransplantConfig, transplant

SPARE_ROWS = 6  # beyond the tokenizer, as Qwen has them


def make_all(
    folder: Path, sentencepiece: Path, byte_level: Path, extended: Path
) -> dict[str, Path]:
    """Every kind by its name."""
    folder.mkdir()
    qwen = like_qwen(byte_level, folder / "tokenizer")
    longer = like_qwen(extended, folder / "longer-tokenizer")
    found = {
        "llama": make_model(folder / "llama", sentencepiece, "llama"),
        "llama-tied": make_model(folder / "llama-tied", sentencepiece, "llama", tied=True),
        "qwen3": make_model(folder / "qwen3", qwen, "qwen3"),
        "qwen3-tied": make_model(folder / "qwen3-tied", qwen, "qwen3", tied=True),
        "qwen3-extended": make_model(folder / "qwen3-extended", longer, "qwen3", tied=True),
    }
    for way, source, tokenizer in (
        ("replaced", "qwen3", sentencepiece),
        ("grown", "qwen3-tied", longer),
    ):
        config = TransplantConfig(
            model=str(found[source]), tokenizer=str(tokenizer), out=folder / way
        )
        found[way] = transplant(config).path
    found["classifier"] = make_classifier(folder / "classifier", found["llama"])
    found["adapter"] = make_adapter(folder / "adapter", found["qwen3-tied"], longer)
    for kind, model, storage in (
        ("gguf-f32", "llama", "f32"),
        ("gguf-f16", "llama-tied", "f16"),
        ("gguf-q8_0", "llama", "q8_0"),
        ("gguf-qwen", "qwen3", "f16"),
        ("gguf-replaced", "replaced", "f16"),
    ):
        found[kind] = make_gguf(folder / kind, found[model], storage)
    return found


def like_qwen(tokenizer: Path, folder: Path) -> Path:
    """A byte-level tokenizer with the ends and the template of Qwen3's."""
    folder.mkdir()
    copy_tokenizer(tokenizer, folder)
    ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    change_json(folder / "tokenizer_config.json", **ends)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return folder


def make_model(folder: Path, tokenizer: Path, kind: str, *, tied: bool = False) -> Path:
    """A random model whose configs name the ends of its tokenizer."""
    known = Tokenizer(tokenizer)
    ends = {
        "eos_token_id": [known.control_id("<|im_end|>"), known.document_start_id],
        "pad_token_id": known.control_tokens.get("<|pad|>", known.document_start_id),
        "bos_token_id": None,
    }
    shape: dict[str, Any] = {**SHAPE, "vocab_size": len(known) + SPARE_ROWS, **ends}
    config = AutoConfig.for_model(kind, **shape, head_dim=16, tie_word_embeddings=tied)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = ends["eos_token_id"]
    model.generation_config.pad_token_id = ends["pad_token_id"]
    model.save_pretrained(folder)
    copy_tokenizer(tokenizer, folder)
    return folder


def make_classifier(folder: Path, model: Path) -> Path:
    """A classifier on a model, as transformers saves it."""
    AutoModelForSequenceClassification.from_pretrained(model, num_labels=3).save_pretrained(folder)
    copy_tokenizer(model, folder)
    return folder


def make_adapter(folder: Path, base: Path, tokenizer: Path) -> Path:
    """A LoRA adapter with the whole tables of a longer vocabulary, as peft saves it."""
    model = AutoModelForCausalLM.from_pretrained(base)
    old = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(len(Tokenizer(tokenizer)))
    with torch.no_grad():  # as training leaves them; the means that resizing gives are a finding
        model.get_input_embeddings().weight[old:].normal_(std=SHAPE["initializer_range"])
    settings = LoraConfig(
        r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True
    )
    get_peft_model(model, settings).save_pretrained(folder, save_embedding_layers=True)
    change_json(folder / "adapter_config.json", base_model_name_or_path=str(base))
    copy_tokenizer(tokenizer, folder)
    return folder


def make_gguf(folder: Path, model: Path, storage: str) -> Path:
    """`model.gguf` with the tokenizer's files beside it, as the export leaves them."""
    folder.mkdir()
    write_gguf(model, read_json(model / "config.json"), folder / "model.gguf", storage)
    copy_tokenizer(model, folder)
    return folder


def copy_of(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder)
    return folder
