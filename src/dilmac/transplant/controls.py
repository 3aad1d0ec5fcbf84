"""Control tokens that a vision model needs and a new tokenizer lacks: they are added to it."""

from __future__ import annotations

import json
from pathlib import Path

from dilmac.core import say, write_json
from dilmac.tokenizer import copy_tokenizer, open_side
from dilmac.transplant.architectures import ids_named
from dilmac.transplant.plan import ROWS_FILE
from dilmac.transplant.sources import Source

# How the keys of their ids begin in config.json.
VISION = ("image", "video", "vision", "boi", "eoi")


def tokenizer_with_controls(source: Source, tokenizer: Path, folder: Path) -> Path:
    """The tokenizer's own folder, or a copy of it in `folder` with the vision tokens added.

    They come after its last row and keep their names, so that the model's processor finds them.
    """
    names = {row: name for name, row in source.tokenizer.control.items()}
    needed = dict.fromkeys(
        names[row]
        for key, row in ids_named(source.settings)
        if key.startswith(VISION) and row in names
    )
    if not needed:
        return tokenizer
    target = open_side(tokenizer)
    missing = [name for name in needed if name not in target.control]
    if not missing:
        return tokenizer
    say(f"transplant: the tokenizer gets {', '.join(missing)}")
    copy_tokenizer(tokenizer, folder)
    path = folder / "tokenizer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    for place, name in enumerate(missing):
        spec["added_tokens"].append(_control(name, len(target.rows) + place))
    path.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
    if (tokenizer / ROWS_FILE).is_file():
        rows = json.loads((tokenizer / ROWS_FILE).read_text(encoding="utf-8"))
        write_json(folder / ROWS_FILE, rows + [[] for _ in missing])
    return folder


def _control(name: str, row: int) -> dict[str, object]:
    return {
        "id": row,
        "content": name,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
