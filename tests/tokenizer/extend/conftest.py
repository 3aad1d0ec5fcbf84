"""A byte-level tokenizer like Qwen's, small, and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from byte_level_base import ADDED, NUM_NEW
from dilmac.tokenizer import ExtendConfig, Tokenizer, extend_tokenizer


@pytest.fixture(scope="session")
def base(byte_level: Path) -> Path:
    return byte_level


@pytest.fixture(scope="session")
def extended(byte_level_extended: Path) -> Path:
    return byte_level_extended


@pytest.fixture(scope="session")
def pruned(byte_level_pruned: Path) -> Path:
    return byte_level_pruned


@pytest.fixture(scope="session")
def unpruned(made: Path, base: Path, sample_corpus: Path) -> Path:
    """What `pruned` was before."""
    config = ExtendConfig(
        corpus=sample_corpus, base=str(base), rows=40, out=made / "byte-level-unpruned"
    )
    return extend_tokenizer(config).path


@pytest.fixture(scope="session")
def both(base: Path, extended: Path) -> tuple[Tokenizer, Tokenizer]:
    return Tokenizer(base), Tokenizer(extended)


@pytest.fixture(scope="session")
def sources(extended: Path) -> list[list[int]]:
    rows: list[list[int]] = json.loads((extended / "rows.json").read_text(encoding="utf-8"))
    assert len(rows) == 600 + len(ADDED) + NUM_NEW
    return rows
