"""Ids in bulk equal ids one by one, and those of SentencePiece, for every kind of tokenizer."""

import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_kinds import KINDS, USER_TOKENS

from dilmac.core import InputError
from dilmac.export.fuzz import fuzz_strings
from dilmac.tokenizer import IM_END, Tokenizer, read_pieces
from dilmac.tokenizer.special import SPACE_MARK

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PARTS = (
    *(*USER_TOKENS, "<EX", "AM>", "<|im_end|>", "<think>", "<|", "<0x41>", "<unk>", SPACE_MARK),
    *("\n", "\r\n", "\x85", "\u2028", "  ", " göl", "kıyısında ", "ağ", "1", ".", "i\u0307", "\0"),
)
mixed = st.lists(st.sampled_from(PARTS) | texts, max_size=8).map("".join)


@pytest.fixture(scope="module", params=[*KINDS, "qwen"])
def tokenizer(request: pytest.FixtureRequest, kinds: dict[str, Path]) -> Tokenizer:
    if request.param == "qwen":
        return Tokenizer(request.getfixturevalue("shared") / "tokenizers" / "qwen3")
    return Tokenizer(kinds[request.param])


@settings(max_examples=200, deadline=None)
@given(batch=st.lists(mixed, max_size=5))
def test_bulk_ids_equal_single_ids(tokenizer: Tokenizer, batch: list[str]) -> None:
    expected = [tokenizer.encode(text) for text in batch]
    assert list(tokenizer.encode_stream(batch)) == expected
    arrays = list(tokenizer.encode_arrays(batch))
    assert [ids.tolist() for ids in arrays] == expected
    assert all(ids.dtype == np.uint32 for ids in arrays)


def test_fuzz_in_bulk(tokenizer: Tokenizer, prose: list[str]) -> None:
    strings = [*fuzz_strings(2000, seed=11), *prose, "\n".join(prose)]
    expected = [tokenizer.encode(text) for text in strings]
    assert list(tokenizer.encode_stream(strings)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_strings_of_pieces_are_read_as_sentencepiece_reads_them(
    kinds: dict[str, Path], kind: str
) -> None:
    """Pieces and parts of pieces side by side: where merges of one rank overlap, order shows."""
    model_file = kinds[kind] / "tokenizer.model"
    pieces = [piece.text.replace(SPACE_MARK, " ") for piece in read_pieces(model_file)[300:]]
    chooser = random.Random(3)
    strings = []
    for _ in range(5000):
        piece = chooser.choice(pieces)
        cut = chooser.randint(0, len(piece))
        repeated = [piece[cut:], piece, piece[:cut]] * chooser.randint(1, 3)
        strings.append("".join([*repeated, *chooser.choices(pieces, k=chooser.randint(0, 5))]))
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    expected = reference.encode(strings)
    tokenizer = Tokenizer(kinds[kind])
    assert list(tokenizer.encode_stream(strings)) == expected
    assert [tokenizer.encode(text) for text in strings] == expected


@pytest.mark.parametrize("batch_characters", [1, 50, 4_000_000])
def test_batches_keep_their_order(
    kinds: dict[str, Path], monkeypatch: pytest.MonkeyPatch, batch_characters: int
) -> None:
    monkeypatch.setattr("dilmac.tokenizer.encode.BATCH_CHARACTERS", batch_characters)
    numbers = [f"satır {number}\n" * (number % 3) for number in range(300)]
    tokenizer = Tokenizer(kinds["plain"])
    assert list(map(tokenizer.decode, tokenizer.encode_stream(iter(numbers)))) == numbers


def test_a_stream_is_read_as_it_is_asked_for(
    kinds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer(kinds["plain"])
    monkeypatch.setattr("dilmac.tokenizer.encode.BATCH_CHARACTERS", 1)
    num_read = 0

    def endless() -> object:
        nonlocal num_read
        while True:
            num_read += 1
            yield f"metin {num_read}"

    first = list(islice(tokenizer.encode_stream(endless()), 3))
    assert [tokenizer.decode(ids) for ids in first] == ["metin 1", "metin 2", "metin 3"]
    assert num_read < 200


def test_half_a_character_is_no_text(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="lone surrogate"):
        list(tokenizer.encode_stream(["iyi", "kötü \ud800"]))


def test_content_is_never_a_control_token(tokenizer: Tokenizer) -> None:
    for control in tokenizer.control_tokens:
        (ids,) = tokenizer.encode_stream([f"önce {control} sonra"])
        assert not set(ids) & set(tokenizer.control_tokens.values())


def test_added_tokens_of_qwen_are_control_tokens_though_not_called_special(
    shared: Path,
) -> None:
    qwen = Tokenizer(shared / "tokenizers" / "qwen3")
    for name in ("<think>", "</think>", "<tool_call>", "<tool_response>", "<|fim_prefix|>", IM_END):
        row = qwen.control_id(name)
        assert row >= 151643
        assert row not in qwen.encode(f"a{name}b")
        assert qwen.decode(qwen.encode(f"a{name}b")) == f"a{name}b"
        assert qwen.decode([row, *qwen.encode("ç")]) == "ç"
        assert qwen.decode([row], keep_control=True) == name


def test_tokens_of_the_user_are_read_in_any_text(kinds: dict[str, Path]) -> None:
    tokenizer = Tokenizer(kinds["user"])
    education = encode_names(tokenizer, "<EXAM>'a kadar İstanbul'da<ders>.")
    assert education[:1] == ["<EXAM>"]
    assert "İstanbul" in education and "<ders>" in education
    assert "<EXAM>" not in tokenizer.control_tokens
    ids = tokenizer.encode("<EXAM>a<|im_end|>")
    assert tokenizer.decode(ids) == "<EXAM>a<|im_end|>"


def encode_names(tokenizer: Tokenizer, text: str) -> list[str]:
    return list(map(tokenizer.piece, tokenizer.encode(text)))
