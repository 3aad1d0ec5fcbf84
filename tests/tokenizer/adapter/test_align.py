"""Chunks cover the same bytes, all of them, and none can be parted further."""

from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from unicodedata import normalize

import pytest
from adapter_parts import texts
from hypothesis import given, settings

from dilmac.tokenizer import Alignment, Chunk, Tokenizer, TokenizerAdapter
from dilmac.tokenizer.canonical import token_bytes


@pytest.fixture(scope="module")
def adapter(turkish: Tokenizer, qwen_like: Tokenizer) -> TokenizerAdapter:
    return TokenizerAdapter(turkish, qwen_like)


def ends_of(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    rows = token_bytes(tokenizer.fast)
    return list(accumulate(len(rows[row] or b"") for row in ids))


def require_minimal_chunks(alignment: Alignment, source: list[int], target: list[int]) -> None:
    """Against sets of places, the plain way; `source` and `target` are where tokens end."""
    shared = sorted(set(source) & set(target) - {0})
    assert [chunk.bytes[1] for chunk in alignment.chunks] == shared
    for places in ("source", "target", "bytes"):
        spans = [getattr(chunk, places) for chunk in alignment.chunks]
        assert all(before[1] == after[0] for before, after in pairwise(spans))
        assert all(start < stop for start, stop in spans)
    if alignment.chunks:
        assert alignment.chunks[0] == Chunk(*((0, span[1]) for span in alignment.chunks[0]))
        sizes = (len(source), len(target), len(alignment.text.encode()))
        assert tuple(span[1] for span in alignment.chunks[-1]) == sizes
    for edges, own, other in (
        (alignment.source_edges, source, target),
        (alignment.target_edges, target, source),
    ):
        borders = {0, *other}
        expected = [[a in borders, b in borders] for a, b in pairwise([0, *own])]
        assert edges.tolist() == expected and edges.shape == (len(own), 2)


@settings(max_examples=400, deadline=None)
@given(text=texts)
def test_chunks_are_minimal_and_cover_the_text(
    adapter: TokenizerAdapter, turkish: Tokenizer, qwen_like: Tokenizer, text: str
) -> None:
    alignment = adapter.align(text)
    assert alignment.text == normalize("NFC", text)
    assert alignment.source_ids == turkish.encode(alignment.text)
    assert alignment.target_ids == qwen_like.encode(alignment.text)
    source = ends_of(turkish, alignment.source_ids)
    require_minimal_chunks(alignment, source, ends_of(qwen_like, alignment.target_ids))


def test_a_chunk_is_read_as_the_same_text_on_both_sides(
    adapter: TokenizerAdapter, turkish: Tokenizer, qwen_like: Tokenizer
) -> None:
    alignment = adapter.align("Öğrencilerin %85'i geldi.")
    data = alignment.text.encode()
    for chunk in alignment.chunks:
        covered = data[slice(*chunk.bytes)].decode()
        assert turkish.decode(alignment.source_ids[slice(*chunk.source)]) == covered
        assert qwen_like.decode(alignment.target_ids[slice(*chunk.target)]) == covered
    assert len(alignment.chunks) > 10


def test_with_an_extended_vocabulary_every_new_token_is_a_chunk(
    byte_level: Path, extended: Path, prose: list[str]
) -> None:
    adapter = TokenizerAdapter(byte_level, extended)
    for line in filter(None, prose[:100]):
        alignment = adapter.align(line)
        assert len(alignment.chunks) == len(alignment.target_ids)
        assert alignment.target_edges.all()


def test_a_space_that_is_not_in_the_text_has_no_width(
    own_model: Callable[..., Path], qwen_like: Tokenizer
) -> None:
    with pytest.warns(UserWarning):
        adapter = TokenizerAdapter(own_model("bytes", byte_fallback=True), qwen_like)
    alignment = adapter.align("  jxq  ")
    assert alignment.text == "jxq"
    first = alignment.chunks[0]
    assert first.bytes[0] == 0 and first.source[0] == 0 and first.target == (0, 1)
    assert alignment.chunks[-1].bytes[1] == 3
    assert adapter.align("").chunks == adapter.align("   ").chunks == []


def test_edges_say_which_tokens_stand_alone(adapter: TokenizerAdapter) -> None:
    alignment = adapter.align("a 1")
    assert alignment.source_edges.tolist()[0] == [True, True]
    assert adapter.align("").source_edges.shape == (0, 2)
