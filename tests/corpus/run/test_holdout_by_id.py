"""Held out by id: the test part of the ids, in every corpus alike, whoever works on it."""

from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpora import documents, write
from dilmac.core import part_of, place_of, read_documents
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.corpus.document import Document
from dilmac.corpus.run.finish import positions_of_ids

NUM_DOCUMENTS = 200


@pytest.mark.parametrize("workers", [1, 3])
def test_ten_percent_by_id_are_exactly_the_test_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("dilmac.corpus.run.divide.PART_CHARACTERS", 20_000)  # several parts
    ids = [f"belge-{number}" for number in range(NUM_DOCUMENTS)]
    texts = documents(NUM_DOCUMENTS)
    lines = [{"id": name, "text": text} for name, text in zip(ids, texts, strict=True)]
    config = CorpusConfig.model_validate(
        {
            "inputs": (str(write(tmp_path / "in.jsonl", [*lines])),),
            "out": tmp_path / "c",
            "holdout_by": "id",
            "holdout_percent": 10,
            "steps": ("repair", "deduplicate"),
            "near_duplicates": False,
            "workers": workers,
        }
    )
    corpus = build_corpus(config)
    heldout = {document["id"] for document in read_documents(corpus.path, "heldout")}
    train = {document["id"] for document in read_documents(corpus.path, "train")}
    assert heldout == {name for name in ids if part_of(name) == "test"}
    assert train == set(ids) - heldout and len(heldout) > 10
    assert corpus.figures["documents_heldout"] == len(heldout)


def position_of(identity: str) -> float:
    (position,) = positions_of_ids([Document(identity, "metin", "kaynak")])
    return position


@given(identity=st.text(max_size=20))
def test_a_position_by_id_is_below_ten_only_in_the_test_part(identity: str) -> None:
    position = position_of(identity)
    assert (position < 10) == (part_of(identity) == "test")
    assert 0 <= position < 100
    assert position == pytest.approx(100 - place_of(identity))


@given(step=st.integers(-50, 50))
def test_the_edge_of_the_test_part_is_exact(step: int) -> None:
    place = 90 + step * 100 / 2**53 * 2  # neighbors of the edge, as `place_of` may give them
    with patch("dilmac.corpus.run.finish.place_of", return_value=place):
        assert (position_of("x") < 10) == (place >= 90)


@pytest.mark.parametrize("place", [0.0, (2**53 - 1) / 2**53 * 100])
def test_the_ends_are_inside(place: float) -> None:
    with patch("dilmac.corpus.run.finish.place_of", return_value=place):
        assert 0 <= position_of("x") < 100
