"""Tokens on disk: what was written is read, across shards, and damage is told."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.training.token_file import INDEX, EncodedDocument, open_tokens, write_tokens
from written_tokens import all_ids, numbered_tokens

DOCUMENTS = st.lists(st.lists(st.integers(1, 99_999), max_size=30), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(documents=DOCUMENTS, shard_bytes=st.integers(1, 200), data=st.data())
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[list[int]],
    shard_bytes: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("t")
    rows = [EncodedDocument(np.array(d, np.uint32), "a", len(d)) for d in documents]
    write_tokens(folder, rows, vocab_size=100_000, end_id=0, shard_bytes=shard_bytes)
    tokens = open_tokens(folder)
    stream = [row for document in documents for row in [*document, 0]]
    assert all_ids(tokens) == stream and tokens.num_tokens == len(stream)
    start = data.draw(st.integers(0, len(stream)))
    stop = data.draw(st.integers(start, len(stream)))
    assert tokens.read(start, stop).tolist() == stream[start:stop]
    assert tokens.document_ends().tolist() == np.cumsum([len(d) + 1 for d in documents]).tolist()
    sizes = [(folder / shard.name).stat().st_size for shard in tokens.index.shards]
    assert sum(sizes) == 4 * len(stream) and max(sizes) <= max(4, shard_bytes)


@pytest.mark.parametrize(("rows", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_the_vocabulary_decides_the_width(tmp_path: Path, rows: int, dtype: str) -> None:
    document = EncodedDocument(np.array([rows - 1], np.uint32), "a", 1)
    tokens = write_tokens(tmp_path, [document], vocab_size=rows, end_id=0)
    assert tokens.dtype == dtype and all_ids(open_tokens(tmp_path)) == [rows - 1, 0]
    too_large = EncodedDocument(np.array([rows], np.uint32), "a", 1)
    with pytest.raises(InputError, match=r"tokens out of range: id 6553\d"):
        write_tokens(tmp_path / "b", [too_large], vocab_size=rows, end_id=0)
    assert not (tmp_path / "b" / INDEX).exists()


def test_a_model_with_fewer_rows_is_refused(tmp_path: Path) -> None:
    tokens = numbered_tokens(tmp_path, [5])
    tokens.require_fit(1 << 16)
    with pytest.raises(InputError, match=r"tokens out of range.*the model has 1,024"):
        tokens.require_fit(1024)


def test_ids_outside_the_vocabulary_are_told_where_they_are_read(tmp_path: Path) -> None:
    document = EncodedDocument(np.array([1, 2, 3], np.uint32), "a", 1)
    tokens = write_tokens(tmp_path, [document], vocab_size=4, end_id=0)
    np.array([1, 999, 3, 0], "<u2").tofile(tmp_path / tokens.index.shards[0].name)
    with pytest.raises(InputError, match="tokens out of range: id 999"):
        tokens.read(0, 4)


def test_damage_is_told(tmp_path: Path) -> None:
    tokens = numbered_tokens(tmp_path, [50, 40])
    shard = tmp_path / tokens.index.shards[1].name
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-2])
    with pytest.raises(InputError, match="its index says"):
        open_tokens(tmp_path)
    shard.write_bytes(whole[:-2] + b"\xff\xff")
    with pytest.raises(InputError, match="its content is not"):
        open_tokens(tmp_path)
    shard.unlink()
    with pytest.raises(InputError, match="is missing"):
        open_tokens(tmp_path)
    shard.write_bytes(whole)
    assert open_tokens(tmp_path) == tokens


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "uint32"}, "does not fit"),
        ({"dtype": "float32"}, "no readable index"),
        ({"vocab_size": 1 << 20}, "does not fit"),
        ({"num_tokens": 7}, "do not add up"),
        ({"num_documents": 7}, "its index says"),
        ({"version": 9}, "no readable index"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    numbered_tokens(tmp_path, [50, 40])
    path = tmp_path / INDEX
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        open_tokens(tmp_path)


def test_a_folder_without_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokens in it"):
        open_tokens(tmp_path)
