"""One running engine for every test of evaluation: starting it takes longer than asking it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dilmac.engines import engine_for
from dilmac.evaluate.subject import EngineSubject


@pytest.fixture(scope="session")
def running(tiny_model: Path) -> Iterator[EngineSubject]:
    """The tiny model in an engine."""
    with EngineSubject("tiny", engine_for(tiny_model)) as subject:
        yield subject


@pytest.fixture
def subject(running: EngineSubject) -> EngineSubject:
    """The same, as new: prompts begin documents, nothing is counted yet."""
    running.begin_documents, running.num_truncated = True, 0
    return running


@pytest.fixture
def bare_subject(subject: EngineSubject) -> EngineSubject:
    """The same, without a token before a prompt."""
    subject.begin_documents = False
    return subject
