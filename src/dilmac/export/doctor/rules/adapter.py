"""A LoRA adapter that was trained with new tokens and saved without their rows.

LoRA without the new rows was the reason for at least one published "no benefit" of a vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dilmac.export.doctor.finding import EVERYWHERE, Finding
from dilmac.export.doctor.folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    ModelFolder,
    Tensor,
)
from dilmac.export.doctor.registry import doctor_rule

TABLES = ("embed_tokens", "lm_head", "wte", "word_embeddings")


@doctor_rule("adapter", of="folder")
def new_rows(folder: ModelFolder) -> Iterator[Finding]:
    """Rows of the tokenizer beside the adapter, of its base, and what the adapter brings."""
    if not folder.adapter:
        return
    where = f"{ADAPTER_CONFIG}: modules_to_save"
    rows = folder.adapter.get("trainable_token_indices")
    saved = [str(name) for name in folder.adapter.get("modules_to_save") or []]
    promised = [name for name in saved if name.rpartition(".")[2] in TABLES]
    tables = tables_of(folder)
    brought = [table.name for table in tables]
    if folder.tensors and (promised or rows) and not brought:
        what = promised[0] if promised else "trainable_token_indices"
        yield Finding(
            "error",
            ADAPTER_WEIGHTS,
            f"holds no rows of the tables, although {what} is to be in it",
            EVERYWHERE,
            "save the adapter again with save_embedding_layers=True",
        )
    short = [table for table in tables if table.shape[0] < folder.num_rows]
    for whole in short[:1] if not rows else ():
        yield Finding(
            "error",
            ADAPTER_WEIGHTS,
            f"{whole.name} has {whole.shape[0]:,} rows, its tokenizer {folder.num_rows:,}",
            EVERYWHERE,
            "save the tokenizer and the adapter of the same run",
        )
    base = base_of(folder)
    if base is None or promised or rows or brought or not folder.num_rows:
        return
    known = base.num_rows or base.text_config.get("vocab_size") or 0
    if folder.num_rows > known:
        yield Finding(
            "error",
            where,
            f"names no table, but the tokenizer beside it has {folder.num_rows - known:,} rows "
            f"more than the base's {known:,}: they were not trained, or not saved",
            EVERYWHERE,
            "train again with modules_to_save=['embed_tokens', 'lm_head'] "
            "(`dilmac finetune` trains new rows by itself)",
        )


def tables_of(folder: ModelFolder) -> list[Tensor]:
    """Tables that the adapter brings, whole or the rows that it adds; no low-rank changes."""
    return [
        tensor
        for tensor in folder.tensors.values()
        if any(table in tensor.name for table in TABLES) and "lora_" not in tensor.name
    ]


def base_of(folder: ModelFolder) -> ModelFolder | None:
    """The base: the folder that the user names, or one of this machine that the adapter names."""
    if folder.named_base is not None:
        return folder.named_base
    stated = folder.adapter.get("base_model_name_or_path")
    if not isinstance(stated, str) or not stated:
        return None
    places = (Path(stated), folder.path / stated, folder.path.parent / stated)
    place = next((path for path in places if path.is_dir()), None)
    return ModelFolder(place) if place else None
