"""A tokenizer as llama.cpp reads it: in a GGUF of a model that was never trained."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.export.gguf import write_gguf
from dilmac.tokenizer import Tokenizer, copy_tokenizer


def write_as_gguf(tokenizer: Path, folder: Path) -> Path:
    """A GGUF with the smallest Llama there is and the vocabulary of a tokenizer folder."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(Tokenizer(tokenizer)),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    copy_tokenizer(tokenizer, folder)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    path = folder / "model-f32.gguf"
    write_gguf(folder, settings, path, "f32")
    return path
