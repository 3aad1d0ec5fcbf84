"""The small files of a transplanted model: configs, generation settings, tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from dilmac.core import InputError, read_json, write_json
from dilmac.tokenizer import copy_tokenizer
from dilmac.transplant.architectures import (
    IdMap,
    ids_named,
    text_section,
    with_ids,
    with_vocabulary,
)

CONFIG, GENERATION = "config.json", "generation_config.json"
GENERATION_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
# Of the old model: how pictures become tensors, and its papers.
COPIED = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")


def write_folder(
    source: Path,
    tokenizer: Path,
    folder: Path,
    *,
    new_id: IdMap,
    num_rows: int,
    is_tied: bool,
    silent: list[int],
) -> None:
    """Write everything but the weights; `silent` are new ids that generation must not give."""
    settings = read_json(source / CONFIG)
    changed = with_ids(with_vocabulary(settings, num_rows, is_tied=is_tied), new_id)
    write_json(folder / CONFIG, changed)
    generation = with_ids(read_json(source / GENERATION), new_id)
    if not generation:  # transformers takes them from here only where there is no such file
        section = text_section(changed)
        named = {key: section.get(key, changed.get(key)) for key in GENERATION_IDS}
        generation = {key: value for key, value in named.items() if value is not None}
    if silent:
        told = {*(generation.get("suppress_tokens") or []), *silent}
        generation["suppress_tokens"] = sorted(told)
    if generation:
        write_json(folder / GENERATION, generation)
    if tokenizer != folder:
        copy_tokenizer(tokenizer, folder)
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def require_ids(source: Path, ids: Mapping[int, int], names: Mapping[int, str]) -> None:
    """Refuse a tokenizer without anything that ends an answer.

    `names` are the old control tokens by id.

    Raises:
        InputError: none of the model's ends has a counterpart.
    """
    settings = read_json(source / CONFIG)
    named = [*ids_named(settings), *ids_named(read_json(source / GENERATION))]
    ends = [row for key, row in named if key == "eos_token_id"]
    if ends and not any(row in ids for row in ends):
        shown = ", ".join(names.get(row, str(row)) for row in dict.fromkeys(ends))
        raise InputError(
            f"the new tokenizer has none of the tokens that end an answer of this model ({shown})",
            where="--tokenizer",
            mend="give one with ChatML markers: `dilmac tokenizer train` and `extend` make them",
        )
