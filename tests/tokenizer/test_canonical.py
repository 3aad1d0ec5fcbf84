"""The bytes of a vocabulary's rows are the bytes of the texts that they make."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from dilmac.tokenizer import SPACE_MARK, Tokenizer
from dilmac.tokenizer.canonical import byte_of_symbol, is_byte_level, readable, token_bytes

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture(scope="module")
def byte_level() -> FastTokenizer:
    """Trained by Hugging Face on a line, so that it has merges; with a control token."""
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    fast.train_from_iterator(["çiçek açan ağaç, ağaçta çiçek " * 5], trainer)
    fast.add_special_tokens(["<|endoftext|>"])
    return fast


def test_every_byte_has_its_symbol(byte_level: FastTokenizer) -> None:
    table = byte_of_symbol()
    assert sorted(table.values()) == list(range(256))
    assert set(table) == set(pre_tokenizers.ByteLevel.alphabet())
    assert (table["A"], table["Ġ"], table["Ċ"]) == (0x41, 0x20, 0x0A)


def test_the_alphabet_tells_the_kind(byte_level: FastTokenizer, sample_tokenizer: Path) -> None:
    assert is_byte_level(byte_level)
    assert not is_byte_level(Tokenizer(sample_tokenizer).fast)


@settings(max_examples=300, deadline=None)
@given(text=texts)
@example(text="çiçek <|endoftext|> ağaç")
def test_bytes_of_byte_level_rows_make_the_text(byte_level: FastTokenizer, text: str) -> None:
    byte_level.encode_special_tokens = True
    rows = token_bytes(byte_level)
    ids = byte_level.encode(text, add_special_tokens=False).ids
    assert b"".join(rows[row] or b"?" for row in ids) == text.encode()


@settings(max_examples=300, deadline=None)
@given(text=texts)
@example(text=f"a{SPACE_MARK} <0x41> <|im_end|>")
def test_bytes_of_sentencepiece_rows_make_the_text(sample_tokenizer: Path, text: str) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    rows = token_bytes(tokenizer.fast)
    assert b"".join(rows[row] or b"?" for row in tokenizer.encode(text)) == text.encode()


def test_a_token_has_the_same_bytes_in_both_alphabets(
    byte_level: FastTokenizer, sample_tokenizer: Path
) -> None:
    ours, theirs = token_bytes(Tokenizer(sample_tokenizer).fast), token_bytes(byte_level)
    for word in ("ç", "ğ", " ", "a"):
        assert word.encode() in ours
    shared = set(ours) & set(theirs) - {None}
    assert {"ç".encode(), b"a", b" ", b"\xc4"} <= shared
    assert all(bytes([byte]) in ours and bytes([byte]) in theirs for byte in range(256))


def test_control_tokens_and_unused_rows_have_no_bytes(
    byte_level: FastTokenizer, sample_tokenizer: Path
) -> None:
    assert token_bytes(byte_level)[byte_level.token_to_id("<|endoftext|>")] is None
    tokenizer = Tokenizer(sample_tokenizer)
    rows = token_bytes(tokenizer.fast)
    assert len(rows) == len(tokenizer) == 1024
    without = {row for row, data in enumerate(rows) if data is None}
    assert without == set(tokenizer.control_tokens.values())
    gap = FastTokenizer(models.BPE(vocab={"a": 0, "b": 3}, merges=[]))
    gap.decoder = decoders.ByteLevel()
    assert token_bytes(gap) == [b"a", None, None, b"b"]


def test_qwen3_has_every_byte_and_the_turkish_letters(shared: Path) -> None:
    rows = token_bytes(Tokenizer(shared / "tokenizers" / "qwen3").fast)
    assert len(rows) == 151_669 and rows[151_643:] == [None] * 26
    known = {data for data in rows if data}
    assert len(known) == 151_643
    assert all(bytes([byte]) in known for byte in range(256))
    assert all(letter.encode() in known for letter in "çğıöşüÇĞİÖŞÜ")


@pytest.mark.parametrize(
    ("data", "seen"),
    [(b" g\xc3\xb6l", " göl"), (b"\xc4", "⟨C4⟩"), (b"a\xc4\x9f\xf0", "⟨61 C4 9F F0⟩")],
)
def test_bytes_are_shown_as_text_or_as_numbers(data: bytes, seen: str) -> None:
    assert readable(data) == seen
