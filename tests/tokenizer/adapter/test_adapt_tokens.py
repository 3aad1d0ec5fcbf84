"""Adapted ids are the ids that the other tokenizer gives the same text."""

from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import torch
from adapter_parts import texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers import Tokenizer as FastTokenizer

from dilmac.core import InputError, read_measured_texts
from dilmac.tokenizer import QwenTurkishTokenizerAdapter, Tokenizer, TokenizerAdapter

MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]


@pytest.fixture(scope="module")
def adapter(turkish: Tokenizer, qwen_like: Tokenizer) -> TokenizerAdapter:
    return TokenizerAdapter(turkish, qwen_like)


def require_equal_ids(
    adapter: TokenizerAdapter, source: Tokenizer, target: Tokenizer, text: str
) -> None:
    """The property, in both directions: of every text as the first tokenizer keeps it."""
    for first, second, reverse in ((source, target, False), (target, source, True)):
        ids = first.encode(text)
        adapted = adapter.adapt_tokens(ids, reverse=reverse)
        assert adapted == second.encode(first.decode(ids, keep_control=True))
    assert adapter.adapt_tokens(source.encode(text)) == target.encode(text)
    source_ids, target_ids = adapter.encode(text, "source"), adapter.encode(text, "target")
    assert adapter.adapt_tokens(source_ids) == target_ids
    assert adapter.adapt_tokens(target_ids, reverse=True) == source_ids


@settings(max_examples=400, deadline=None)
@given(text=texts)
@example(text="\u2581")
@example(text="c\u0327ay <|im_end|>")
def test_ids_are_those_of_the_other_tokenizer(
    adapter: TokenizerAdapter, turkish: Tokenizer, qwen_like: Tokenizer, text: str
) -> None:
    require_equal_ids(adapter, turkish, qwen_like, text)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(text=texts)
def test_ids_are_those_of_the_other_tokenizer_on_many_texts(
    adapter: TokenizerAdapter, turkish: Tokenizer, qwen_like: Tokenizer, text: str
) -> None:
    require_equal_ids(adapter, turkish, qwen_like, text)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.sampled_from(MARKERS) | texts, max_size=6))
def test_control_tokens_keep_their_role_and_content_stays_content(
    adapter: TokenizerAdapter, turkish: Tokenizer, qwen_like: Tokenizer, parts: list[str]
) -> None:
    """Texts between markers; two texts in a row are one."""

    def ids_of(tokenizer: Tokenizer) -> list[int]:
        ids, text = [], ""
        for part in [*parts, None]:
            if part is None or part in MARKERS:
                ids += tokenizer.encode(text)
                ids += [tokenizer.control_id(part)] if part else []
                text = ""
            else:
                text = normalize("NFC", text + part)
        return ids

    source_ids = ids_of(turkish)
    assert adapter.adapt_tokens(source_ids) == ids_of(qwen_like)
    assert adapter.adapt_tokens(ids_of(qwen_like), reverse=True) == source_ids


def test_padding_becomes_what_the_other_side_pads_with(
    adapter: TokenizerAdapter, turkish: Tokenizer, qwen_like: Tokenizer
) -> None:
    pad, end = turkish.control_id("<|pad|>"), qwen_like.control_id("<|endoftext|>")
    assert adapter.adapt_tokens([*turkish.encode("su"), pad]) == [*qwen_like.encode("su"), end]
    assert adapter.adapt_tokens([end], reverse=True) == [turkish.control_id("<|endoftext|>")]


def test_a_control_token_without_a_counterpart_is_told(
    adapter: TokenizerAdapter, qwen_like: Tokenizer
) -> None:
    with pytest.raises(InputError, match=r"role of <\|video_pad\|>"):
        adapter.adapt_tokens([qwen_like.control_id("<|video_pad|>")], reverse=True)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_cut_inside_a_character_keeps_its_bytes(
    adapter: TokenizerAdapter, turkish: Tokenizer, qwen_like: Tokenizer, data: st.DataObject
) -> None:
    for first, second, reverse in ((turkish, qwen_like, False), (qwen_like, turkish, True)):
        ids = first.encode(normalize("NFC", data.draw(texts)))
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(ids))] * 2)))
        adapted = adapter.adapt_tokens(ids[start:stop], reverse=reverse)
        assert bytes_of(second, adapted) == normalized_bytes(bytes_of(first, ids[start:stop]))


def bytes_of(tokenizer: Tokenizer, ids: list[int]) -> bytes:
    from dilmac.tokenizer.canonical import token_bytes

    rows = token_bytes(tokenizer.fast)
    return b"".join(rows[row] or b"?" for row in ids)


def normalized_bytes(data: bytes) -> bytes:
    """NFC of what is text; a cut can part a character from its accent, not make one."""
    text = data.decode(errors="surrogateescape")
    return normalize("NFC", text).encode(errors="surrogateescape")


def test_half_a_character_needs_byte_tokens(
    own_model: Callable[..., Path], qwen_like: Tokenizer
) -> None:
    with pytest.warns(UserWarning):
        adapter = TokenizerAdapter(qwen_like, own_model("unigram"))
    with pytest.raises(InputError, match=r"part of a character \(byte F0\)"):
        adapter.adapt_tokens(qwen_like.encode("😀")[:1])


@pytest.mark.parametrize("ids", [[-1], [10**6], [1024]])
def test_ids_outside_the_vocabulary_are_refused(adapter: TokenizerAdapter, ids: list[int]) -> None:
    with pytest.raises(InputError, match="outside the vocabulary of 1024"):
        adapter.adapt_tokens(ids)


@pytest.mark.parametrize("ids", [["a"], [1.5], [[1, 2]], [None], torch.ones(1, 2), None, 3])
def test_what_is_no_row_of_ids_is_refused(adapter: TokenizerAdapter, ids: object) -> None:
    with pytest.raises(InputError, match="whole numbers"):
        adapter.adapt_tokens(ids)  # type: ignore[arg-type]


def test_arrays_and_tensors_are_read(adapter: TokenizerAdapter, turkish: Tokenizer) -> None:
    ids = turkish.encode("Bir göl kıyısında.")
    expected = adapter.adapt_tokens(ids)
    for row in (tuple(ids), iter(ids), np.array(ids), torch.tensor(ids)):
        assert adapter.adapt_tokens(row) == expected
    assert adapter.adapt_tokens([]) == []


def test_folders_names_and_open_tokenizers_are_the_same(
    sample_tokenizer: Path, byte_level: Path, adapter: TokenizerAdapter, turkish: Tokenizer
) -> None:
    ids = turkish.encode("Öğretmen sınıfa girdi.")
    expected = adapter.adapt_tokens(ids)
    assert TokenizerAdapter(str(sample_tokenizer), byte_level).adapt_tokens(ids) == expected
    by_the_guide = QwenTurkishTokenizerAdapter(
        qwen_model_path=byte_level, turkish_tokenizer_path=sample_tokenizer
    )
    assert by_the_guide.adapt_tokens(ids) == expected


def test_pieces_that_a_user_defined_are_content(
    sample_tokenizer: Path, qwen_like: Tokenizer, tmp_path: Path
) -> None:
    fast = FastTokenizer.from_file(str(sample_tokenizer / "tokenizer.json"))
    fast.add_tokens([AddedToken("<BEGINNER>", normalized=False)])
    fast.save(str(tmp_path / "tokenizer.json"))
    turkish = Tokenizer(tmp_path)
    adapter = TokenizerAdapter(turkish, qwen_like)
    assert len(turkish.encode("<BEGINNER>")) == 1
    for text in ("<BEGINNER>", "bir<BEGINNER> iki <BEGINNER"):
        require_equal_ids(adapter, turkish, qwen_like, text)


def test_what_is_no_tokenizer_is_refused(tmp_path: Path, turkish: Tokenizer) -> None:
    broken = tmp_path / "broken.model"
    broken.write_bytes(b"\xff\xff")
    with pytest.raises(InputError, match="no SentencePiece model"):
        TokenizerAdapter(turkish, broken)
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        TokenizerAdapter(turkish, tmp_path)
    with pytest.raises(InputError, match=r"no tokenizer\.json there"):
        TokenizerAdapter("no/where", turkish)


@pytest.mark.slow
def test_qwen3_and_a_turkish_tokenizer_on_fifty_thousand_lines(
    shared: Path, turkish: Tokenizer
) -> None:
    qwen = Tokenizer(shared / "tokenizers" / "qwen3")
    adapter = TokenizerAdapter(turkish, qwen)
    kinds = ("tr-*", "en-*", "code-*")
    files = [path for kind in kinds for path in sorted((shared / "corpus").glob(kind))]
    lines = [line for path in files for line in first_lines(path, 4000)]
    assert len(lines) >= 50_000
    for line in lines:
        text = normalize("NFC", line)
        source_ids, target_ids = turkish.encode(text), qwen.encode(text)
        assert adapter.adapt_tokens(source_ids) == target_ids
        assert adapter.adapt_tokens(target_ids, reverse=True) == source_ids


def first_lines(path: Path, count: int) -> list[str]:
    lines: list[str] = []
    for text in read_measured_texts([path]):
        lines += text.split("\n")
        if len(lines) >= count:
            break
    return lines[:count]
