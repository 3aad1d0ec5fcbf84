"""A byte-level tokenizer like Qwen's, small, and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from byte_level_base import ADDED, make_base

from dilmac.core import bundled_prose
from dilmac.tokenizer import ExtendConfig, Tokenizer, extend_tokenizer

NUM_NEW = 300
ROWS_KEPT = 330


@pytest.fixture(scope="session")
def base(made: Path) -> Path:
    """600 rows and the added tokens; its special ones come from the configuration, as Qwen's."""
    return make_base(made / "byte-level-base", 600)


@pytest.fixture(scope="session")
def extended(made: Path, base: Path, sample_corpus: Path) -> Path:
    config = ExtendConfig(
        corpus=sample_corpus, base=str(base), rows=NUM_NEW, out=made / "byte-level-extended"
    )
    return extend_tokenizer(config).path


@pytest.fixture(scope="session")
def pruned(made: Path, base: Path, sample_corpus: Path) -> Path:
    """The same with 330 of its old rows."""
    config = ExtendConfig(
        corpus=sample_corpus,
        base=str(base),
        rows=40,
        keep=ROWS_KEPT,
        other_texts=(str(bundled_prose()[0]),),
        out=made / "byte-level-pruned",
    )
    return extend_tokenizer(config).path


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
