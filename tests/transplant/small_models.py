"""Tiny random models of every architecture that is known, in folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from dilmac.tokenizer import Tokenizer, copy_tokenizer
from dilmac.transplant import TransplantConfig, transplant

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,  # so that tokens differ
}
# Of each architecture, what its config needs beside that to be small.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen2_moe": {
        "num_experts": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "num_experts_per_tok": 1,
    },
    "qwen3": {},
    "qwen3_moe": {"num_experts": 2, "moe_intermediate_size": 16, "num_experts_per_tok": 1},
    "qwen3_5_text": {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
    "gemma": {},
    "gemma2": {},
    "gemma3_text": {},
}
SPECIAL_IDS = {"eos_token_id": "<|im_end|>", "bos_token_id": "<|endoftext|>"}


def make_model(
    folder: Path,
    tokenizer: Path,
    kind: str = "qwen3",
    *,
    tied: bool = True,
    dtype: torch.dtype = torch.float32,
    num_rows: int | None = None,
    shard_size: str = "5GB",
    **shape: Any,
) -> Path:
    """A random model of that architecture on that tokenizer; `shape` goes into its config."""
    known = Tokenizer(tokenizer)
    ids = {key: known.control_id(name) for key, name in SPECIAL_IDS.items()}
    config = AutoConfig.for_model(
        kind,
        **(TEXT | ARCHITECTURES[kind] | ids | shape),
        vocab_size=num_rows or len(known),
        tie_word_embeddings=tied,
        pad_token_id=None,
    )
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = [ids["eos_token_id"], ids["bos_token_id"]]
    model.generation_config.pad_token_id = ids["bos_token_id"]
    model.to(dtype).save_pretrained(folder, max_shard_size=shard_size)
    copy_tokenizer(tokenizer, folder)
    return folder


def logits_of(folder: Path, ids: list[int]) -> torch.Tensor:
    """[tokens, rows], float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits


def has_class(kind: str) -> bool:
    """Whether this transformers has the architecture."""
    return kind in transformers.CONFIG_MAPPING


def run(out: Path, model: Path, tokenizer: Path | str, **others: Any) -> Any:
    config = TransplantConfig(model=str(model), tokenizer=str(tokenizer), out=out, **others)
    return transplant(config)


def copied(model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    return folder


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(config), encoding="utf-8")
