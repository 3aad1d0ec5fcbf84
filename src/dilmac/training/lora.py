"""LoRA: small matrices beside a model's, merged into it at the end, with proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from dilmac.core import DilmacError, write_json
from dilmac.training.config import FinetuneConfig

MAX_MERGE_DIFFERENCE = 1e-3  # logits of the merged model against base + adapter, in fp32


def with_adapter(base: Any, config: FinetuneConfig) -> PeftModel:
    """Base with LoRA on every linear layer, and embedding and output rows trained in full."""
    saved = None
    if config.train_embeddings:
        is_tied = bool(base.config.tie_word_embeddings)
        saved = ["embed_tokens"] if is_tied else ["embed_tokens", "lm_head"]
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        modules_to_save=saved,
        ensure_weight_tying=bool(saved) and bool(base.config.tie_word_embeddings),
        task_type="CAUSAL_LM",
    )
    model: PeftModel = get_peft_model(base, lora)
    return model


def merge_adapter(model: PeftModel, probe: torch.Tensor, folder: Path) -> tuple[Any, float]:
    """The merged model, and how far its logits are from base + adapter on `probe` `[1, length]`.

    Raises:
        DilmacError: merging changed the logits.
    """
    model.eval()
    with torch.inference_mode():
        separate = model(input_ids=probe, use_cache=False).logits
    merged = model.merge_and_unload()
    with torch.inference_mode():
        together = merged(input_ids=probe, use_cache=False).logits
    difference = float((separate - together).abs().max())
    if not difference <= MAX_MERGE_DIFFERENCE:
        raise DilmacError(
            f"merging changed the logits by {difference:.2g}, more than {MAX_MERGE_DIFFERENCE}",
            where=folder,
            mend="train with --precision fp32",
        )
    return merged, difference


def save_adapter(model: PeftModel, base_name: str, folder: Path) -> None:
    """The adapter as PEFT reads it, made to repeat: its config lists layers in the order of a set,
    and both config and card name a path of this machine."""
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = base_name
    for name, value in settings.items():
        if isinstance(value, list):
            settings[name] = sorted(value)
    write_json(path, settings)
