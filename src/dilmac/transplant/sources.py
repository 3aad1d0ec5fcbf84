"""What `--model` and `--tokenizer` name, and a model opened: its files, not its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from dilmac.core import InputError
from dilmac.models import hub_name, read_config, require_model_folder, require_plain_weights
from dilmac.tokenizer import TOKENIZER_FILES, Side, folder_of, open_side
from dilmac.transplant.architectures import Layout, Settings, find_layout, require_known
from dilmac.transplant.stream import Checkpoint, open_checkpoint


def tokenizer_folder(name: str) -> Path:
    """The folder of a tokenizer: a path, one that ships, or the hub's, downloaded.

    A name of the catalogue (`qwen3-0.6b`) is the hub's that it stands for.

    Raises:
        InputError: there is none.
    """
    known = name if Path(name).exists() else hub_name(name)
    return folder_of(known, TOKENIZER_FILES, f"--tokenizer {name}")


@dataclass(frozen=True)
class Source:
    """A model to transplant, opened: its files, not its numbers."""

    folder: Path
    settings: Settings
    checkpoint: Checkpoint
    layout: Layout
    tokenizer: Side


def open_source(folder: Path) -> Source:
    """Open a model folder and find its tables.

    Raises:
        InputError: an unknown architecture, missing or damaged weights, or no tokenizer.
    """
    settings = require_model_folder(folder)
    require_plain_weights(settings, folder)
    require_known(settings, folder / "config.json")
    checkpoint = open_checkpoint(folder)
    read = read_config(folder)
    layout = find_layout(
        checkpoint.shapes,
        num_rows=int(read.get_text_config().vocab_size),
        is_tied=bool(read.tie_word_embeddings),
        where=folder,
    )
    tokenizer = _tokenizer_of(folder)
    if len(tokenizer.rows) > layout.num_rows:
        raise InputError(
            f"the model has {layout.num_rows:,} rows, its tokenizer {len(tokenizer.rows):,}",
            where=folder,
            mend="is this the tokenizer that the model was trained with?",
        )
    source = Source(folder, settings, checkpoint, layout, tokenizer)
    _require_one_table(source)
    return source


def _tokenizer_of(folder: Path) -> Side:
    try:
        return open_side(folder)
    except InputError as error:
        raise InputError(
            error.found,
            where=error.where,
            mend="a model to transplant needs a tokenizer.json that gives every text back; those "
            "of Llama 2 and the first Mistral put a space before it and are not known here",
        ) from error


def _require_one_table(source: Source) -> None:
    """A tied model whose file holds a head all the same: it must be the embedding's double."""
    spare = source.layout.spare_head
    if spare is None:
        return
    tables = source.checkpoint.table(spare), source.checkpoint.table(source.layout.embedding)
    if not torch.equal(*tables):
        raise InputError(
            f"its config.json says that head and embedding are one, and {spare} is another",
            where=source.folder,
            mend="set tie_word_embeddings to what the model was trained with",
        )
