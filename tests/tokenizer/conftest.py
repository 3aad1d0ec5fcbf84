"""Tokenizers of every kind, trained on the bundled prose."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizer_kinds import OPTIONS, train_kind

from dilmac.core import bundled_prose, read_measured_texts
from dilmac.tokenizer import TokenizerConfig, pretrained_path, train_tokenizer


@pytest.fixture(scope="session")
def prose() -> list[str]:
    """Lines of the bundled prose."""
    return [line for text in read_measured_texts(bundled_prose()) for line in text.split("\n")]


@pytest.fixture(scope="session")
def kinds(made: Path, prose: list[str], sample_corpus: Path) -> dict[str, Path]:
    """A folder of each of `KINDS`."""
    folders = {kind: train_kind(kind, prose, made / f"kind-{kind}") for kind in OPTIONS}
    config = TokenizerConfig(
        corpus=sample_corpus,
        vocab_size=1500,
        superwords=400,
        entities="education",
        out=made / "kind-superwords",
    )
    own = {"superwords": train_tokenizer(config).path, "tr32k": pretrained_path("tr32k")}
    return folders | own
