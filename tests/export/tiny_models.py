"""Tiny random models of every architecture that can be exported, and what is exported of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from dilmac.export import GgufConfig
from dilmac.tokenizer import Tokenizer, copy_tokenizer

FEW = {"num_lines": 40, "num_fuzz": 80, "num_positions": 60}
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
    "pad_token_id": None,
}
# What each needs beside that; heads together are wider than the model where they may be.
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"head_dim": 32},
    "mistral": {"head_dim": 32, "sliding_window": None},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "qwen3_moe": {
        "head_dim": 32,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
    },
}


def make_model(
    folder: Path,
    tokenizer: Path,
    kind: str,
    *,
    tied: bool = False,
    num_spare_rows: int = 0,
    **shape: int,
) -> Path:
    """A random model whose biases and norms count, with that tokenizer beside it."""
    num_rows = len(Tokenizer(tokenizer)) + num_spare_rows
    ends = {
        "eos_token_id": Tokenizer(tokenizer).control_id("<|im_end|>"),
        "bos_token_id": Tokenizer(tokenizer).document_start_id,
    }
    config = AutoConfig.for_model(
        kind,
        **{**SHAPE, **KINDS[kind], **shape},
        **ends,
        vocab_size=num_rows,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    copy_tokenizer(tokenizer, folder)
    return folder


def change_json(path: Path, **values: Any) -> None:
    """Set keys of a JSON file; None takes a key out."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    changed = {key: value for key, value in (content | values).items() if value is not None}
    path.write_text(json.dumps(changed), encoding="utf-8")


def config_of(model: Path, **changes: Any) -> GgufConfig:
    """An export beside the model, with a proof of few lines."""
    return GgufConfig.model_validate(
        {"model": model, "out": model.parent / "gguf", "type": "f32", **FEW, **changes}
    )


def contents(file: Path) -> dict[str, Any]:
    """Every key of a GGUF and its value."""
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}
