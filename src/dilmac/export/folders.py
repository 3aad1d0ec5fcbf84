"""What exports that are folders have in common."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dilmac.models import read_config
from dilmac.tokenizer import TOKENIZER_FILES, copy_tokenizer

# Decoders without experts or eyes.
DENSE = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")


def copy_rest(model: Path, folder: Path, names: Iterable[str]) -> None:
    """The tokenizer's files and those of `names`, unchanged, in place of what a library wrote."""
    for name in (*TOKENIZER_FILES, *names):
        (folder / name).unlink(missing_ok=True)
    copy_tokenizer(model, folder)
    for name in names:
        if (model / name).is_file():
            shutil.copyfile(model / name, folder / name)


def without_weights(folder: Path) -> Any:
    """The model of a folder with all shapes and no numbers (on torch's `meta` device)."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(read_config(folder))


def num_weights(folder: Path) -> int:
    """Weights of a model, a tied table once; counted without loading any."""
    return int(without_weights(folder).num_parameters())
