"""A small Qwen3 on a tokenizer in its manner."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_models import make_model


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory, byte_level: Path) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "qwen3", byte_level)
