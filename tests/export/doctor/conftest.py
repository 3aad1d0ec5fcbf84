"""Sound models of every kind, made once; a test takes a copy and harms it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sound_models import copy_of, make_all


@pytest.fixture(scope="session")
def sound(
    made: Path, sample_tokenizer: Path, byte_level: Path, byte_level_extended: Path
) -> dict[str, Path]:
    """Folders of sound models by their kind."""
    return make_all(made / "sound", sample_tokenizer, byte_level, byte_level_extended)


@pytest.fixture
def copied(sound: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a sound model of a kind."""
    return lambda kind: copy_of(sound[kind], tmp_path / "model")
