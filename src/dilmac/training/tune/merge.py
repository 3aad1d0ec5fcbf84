"""An adapter on the disk, and merged into its base with proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open

from dilmac.core import DilmacError, InputError, write_json
from dilmac.tokenizer import Tokenizer

WEIGHTS = "adapter_model.safetensors"
KINDS = ("lora_", "ia3_")  # in the names of an adapter's matrices, as against whole tables
MAX_MERGE_DIFFERENCE = 1e-3  # logits of the merged model against base + adapter, in fp32


def merge_adapter(model: PeftModel, probe: torch.Tensor, folder: Path) -> tuple[Any, float]:
    """The merged model, and how far its logits are from base + adapter on `probe` `[1, length]`.

    Raises:
        DilmacError: merging changed the logits.
    """
    model.eval()
    separate = logits_on(model, probe)
    merged = model.merge_and_unload()
    difference = float((separate - logits_on(merged, probe)).abs().max())
    if not difference <= MAX_MERGE_DIFFERENCE:
        raise DilmacError(
            f"merging changed the logits by {difference:.2g}, more than {MAX_MERGE_DIFFERENCE}",
            where=folder,
            mend="train with --precision fp32",
        )
    return merged, difference


def logits_on(model: Any, probe: torch.Tensor) -> torch.Tensor:
    """`[1, length, rows]` in fp32, on the CPU, wherever the model is."""
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=probe.to(model.device), use_cache=False).logits
    return logits.float().cpu()


def probe_of(tokenizer: Tokenizer, device: Any) -> torch.Tensor:
    """Ids `[1, at most 64]` on which models are compared: the first and the last of the table."""
    rows = torch.arange(len(tokenizer), device=device)
    return torch.cat([rows[:32], rows[32:][-32:]]).unsqueeze(0)


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


def with_saved_adapter(base: Any, folder: Path, name: str = "default") -> PeftModel:
    """Base, or base with others beside it, with an adapter from a folder, as peft opens it.

    Raises:
        InputError: it cannot be read, or belongs to another base.
    """
    try:
        if isinstance(base, PeftModel):
            model = base
            model.load_adapter(str(folder), adapter_name=name)
        else:
            model = PeftModel.from_pretrained(base, str(folder), adapter_name=name)
        _require_every_layer(model, folder, name)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        message = " ".join(str(error).split())[:200]
        raise InputError(
            f"does not fit the base ({message})",
            where=folder,
            mend="give the model that the adapter was trained on by --model",
        ) from error
    return model


def _require_every_layer(model: PeftModel, folder: Path, name: str) -> None:
    """peft opens an adapter of a deeper or flatter base, and leaves out what finds no place."""
    with safe_open(folder / WEIGHTS, "pt") as file:
        saved = set(file.keys())
    placed = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    apart = sorted(key for key in saved ^ placed.keys() if any(kind in key for kind in KINDS))
    if apart:
        raise ValueError(f"{len(apart)} matrices are on one side alone, as {apart[0]}")
