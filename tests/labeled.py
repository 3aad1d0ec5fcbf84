"""Labeled texts that a tiny model learns in a second, and a model that knows nothing yet."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from corpora import WORDS

SIGNS = {"olumlu": "Çok iyi.", "olumsuz": "Çok kötü!", "soru": "Neden mi?"}


def labeled(count: int, labels: Iterable[str] = tuple(SIGNS)) -> list[dict[str, Any]]:
    """Texts whose first and last words say their label."""
    names = tuple(labels)
    rows = []
    for number in range(count):
        label = names[number % len(names)]
        words = " ".join(random.Random(number).choices(WORDS, k=1 + number % 6))
        text = f"{SIGNS[label]} {words} {SIGNS[label]}"
        rows.append({"id": f"t{number}", "text": text, "label": label})
    return rows


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def blank_model(folder: Path, tokenizer: Path) -> Path:
    """A `tiny` language model of random weights."""
    from transformers import LlamaForCausalLM

    from dilmac.models import preset_named, save_model
    from dilmac.tokenizer import Tokenizer, copy_tokenizer

    torch.manual_seed(0)
    ids = Tokenizer(tokenizer).control_tokens
    config = preset_named("tiny").shape_config(
        1024, pad_token_id=ids["<|pad|>"], eos_token_id=ids["<|im_end|>"], bos_token_id=None
    )
    folder.mkdir()
    save_model(LlamaForCausalLM(config), folder)
    copy_tokenizer(tokenizer, folder)
    return folder
