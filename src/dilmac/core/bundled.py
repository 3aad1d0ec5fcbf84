"""What ships with the package: the sample text, its instructions, and the recipes."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
SAMPLES = _PACKAGE / "samples"


def bundled_prose() -> list[Path]:
    """The sample's clean prose, a JSONL file for each domain."""
    return sorted((SAMPLES / "prose").glob("*.jsonl"))


def bundled_raw_text() -> list[Path]:
    """The sample as raw text: the prose and the deliberately dirty set."""
    return [*bundled_prose(), SAMPLES / "dirty.jsonl"]


def bundled_instructions() -> list[Path]:
    """The instruction pairs that ship: the sample's 250 first, then a JSONL file for each theme."""
    return [SAMPLES / "instructions.jsonl", *sorted((SAMPLES / "instructions").glob("*.jsonl"))]


def bundled_recipe(name: str) -> Path:
    """A recipe by name; it lies in the package when installed, in `recipes/` in a checkout."""
    installed = _PACKAGE / "recipes" / f"{name}.yaml"
    return installed if installed.is_file() else _PACKAGE.parents[1] / "recipes" / f"{name}.yaml"
