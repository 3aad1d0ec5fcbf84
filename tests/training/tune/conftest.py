"""A little data: instructions and pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dilmac.core import bundled_instructions


@pytest.fixture(scope="session")
def few(made: Path) -> Path:
    """32 short instructions that ship."""
    lines = bundled_instructions()[0].read_text(encoding="utf-8").splitlines()
    path = made / "few.jsonl"
    path.write_text("\n".join(sorted(lines, key=len)[:32]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def pairs(made: Path, few: Path) -> Path:
    """The same as pairs: the right answer against a refusal."""
    rows = [json.loads(line) for line in few.read_text(encoding="utf-8").splitlines()]
    path = made / "pairs.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            pair = {"prompt": row["instruction"], "chosen": row["response"]}
            file.write(json.dumps(pair | {"rejected": "Hayır, yanıt vermek istemiyorum."}) + "\n")
    return path
