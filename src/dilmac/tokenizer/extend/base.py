"""The tokenizer that is extended: a byte-level BPE in Hugging Face's format, taken apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models

from dilmac.core import InputError
from dilmac.tokenizer.canonical import is_byte_level

Pair = tuple[int, int]
# What is read of a base; its weights, if it is a model folder, are not.
BASE_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
KINDS = "give a byte-level BPE with a tokenizer.json, such as Qwen/Qwen3-0.6B"


@dataclass(frozen=True)
class Base:
    """A tokenizer folder and what its `tokenizer.json` says (`spec`).

    `names` are the rows in GPT-2's alphabet ("" where an id is not used), [rows]; joined names are
    joined bytes. `merges` are pairs of ids, best first.
    """

    folder: Path
    spec: dict[str, Any]
    fast: tokenizers.Tokenizer
    names: list[str]
    merges: list[Pair]

    @property
    def files(self) -> list[Path]:
        return [self.folder / name for name in BASE_FILES if (self.folder / name).is_file()]


def read_base(folder: Path) -> Base:
    """Take a tokenizer folder apart.

    Raises:
        InputError: no readable `tokenizer.json`, or it is no byte-level BPE.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError("no tokenizer.json in it", where=folder, mend=KINDS)
    try:
        fast = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library raises bare Exception
        raise InputError(f"no readable tokenizer ({error})", where=path) from error
    if not isinstance(fast.model, models.BPE) or not is_byte_level(fast):
        raise InputError("no byte-level BPE", where=path, mend=KINDS)
    _require_readable_settings(folder / "tokenizer_config.json")
    fast.no_truncation()
    fast.no_padding()
    fast.encode_special_tokens = True
    spec = json.loads(fast.to_str())
    ids: dict[str, int] = fast.get_vocab(with_added_tokens=True)
    names = [""] * (max(ids.values()) + 1)
    for name, row in ids.items():
        names[row] = name
    merges = [(ids[first], ids[last]) for first, last in spec["model"]["merges"]]
    return Base(folder, spec, fast, names, merges)


def _require_readable_settings(path: Path) -> None:
    """Refuse them before minutes of learning, not when they are written anew."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InputError(f"no JSON ({error})", where=path) from error
    if not isinstance(settings, dict):
        raise InputError("no JSON object", where=path)
