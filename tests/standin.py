"""A tiny model in the place of the one that ships, for tests that need one to answer quickly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dilmac.models import DEFAULT_MODEL


def place_standin(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy `model` into `folder` under the shipped model's name, and let names lead there."""
    place = folder / "ships" / DEFAULT_MODEL
    shutil.copytree(model, place)
    monkeypatch.setattr("dilmac.models.shipped.FOLDER", place.parent)
    return place
