"""Files of fine-tuning data, written for a test."""

from __future__ import annotations

import json
from pathlib import Path

GOOD = {"instruction": "Selam ver.", "response": "Merhaba!"}


def write(path: Path, *lines: object) -> Path:
    """JSON lines; what is text already is written as it is."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path
