"""One server for each engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Served, served


@pytest.fixture(scope="package", params=["transformers", "llamacpp"])
def server(
    request: pytest.FixtureRequest, made: Path, tiny_chat: Path, tiny_gguf: Path
) -> Iterator[Served]:
    model = tiny_chat if request.param == "transformers" else tiny_gguf
    with served(model, made / f"serve-{request.param}.log") as running:
        yield running
