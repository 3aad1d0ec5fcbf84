"""Every text comes back from its ids, and every reader of the tokenizer gives the same ids."""

from itertools import tee
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import shards, strings_of
from tokenizer_kinds import KINDS
from transformers import AutoTokenizer

from dilmac.core import InputError
from dilmac.export.fuzz import fuzz_strings
from dilmac.tokenizer import Tokenizer
from dilmac.tokenizer.special import REQUIRED_CHARACTERS, SPACE_MARK

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
turkish = st.text(
    "abcçdefgğhıijklmnoöprsştuüvyzÇĞİÖŞÜ 0123456789.,'’\n\t" + SPACE_MARK, max_size=80
)


@pytest.fixture(scope="module")
def tokenizer(sample_tokenizer: Path) -> Tokenizer:
    return Tokenizer(sample_tokenizer)


@settings(max_examples=300, deadline=None)
@given(text=texts | turkish)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text), keep_control=True) == text


@settings(max_examples=200, deadline=None)
@given(first=texts | turkish, second=texts | turkish)
def test_control_tokens_are_never_read_into_a_text(
    tokenizer: Tokenizer, first: str, second: str
) -> None:
    for control in tokenizer.control_tokens:
        ids = tokenizer.encode(first + control + second)
        assert not set(ids) & set(tokenizer.control_tokens.values())
        assert tokenizer.decode(ids) == first + control + second


@settings(max_examples=200, deadline=None)
@given(text=turkish.filter(lambda text: SPACE_MARK not in text))
def test_sentencepiece_and_hugging_face_agree(
    tokenizer: Tokenizer, sample_tokenizer: Path, text: str
) -> None:
    piece = sentencepiece.SentencePieceProcessor(
        model_file=str(sample_tokenizer / "tokenizer.model")
    )
    assert piece.encode(text) == tokenizer.encode(text)


def test_all_readers_agree_on_prose_and_fuzz(
    tokenizer: Tokenizer, sample_tokenizer: Path, prose: list[str]
) -> None:
    piece = sentencepiece.SentencePieceProcessor(
        model_file=str(sample_tokenizer / "tokenizer.model")
    )
    auto = AutoTokenizer.from_pretrained(sample_tokenizer)
    strings = prose + fuzz_strings(500, seed=1)
    ours = [tokenizer.encode(text) for text in strings]
    assert list(tokenizer.encode_stream(strings)) == ours
    assert piece.encode(strings) == ours
    assert auto(strings, split_special_tokens=True).input_ids == ours


def test_bulk_encoding_takes_unusual_texts_the_careful_way(tokenizer: Tokenizer) -> None:
    strings = ["düz metin", "<|im_end|>", f"a{SPACE_MARK}b", "", "yine düz"]
    assert list(tokenizer.encode_stream(strings)) == [tokenizer.encode(text) for text in strings]


def test_required_characters_have_pieces_of_their_own(tokenizer: Tokenizer) -> None:
    for character in REQUIRED_CHARACTERS:
        assert len(tokenizer.encode(character)) == 1, character


def test_digits_stand_alone(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("1234567890")) == 10


def test_wrong_ids_and_folders_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for ids in ([len(tokenizer)], [-1]):
        with pytest.raises(InputError, match="outside the vocabulary"):
            tokenizer.decode(ids)
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        Tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="no readable tokenizer"):
        Tokenizer(tmp_path)
    with pytest.raises(InputError, match="the model has 10 rows"):
        tokenizer.require_fit(10)
    with pytest.raises(InputError, match="no control token"):
        tokenizer.control_id("<|think|>")


def test_pieces_are_shown_as_text_or_bytes(tokenizer: Tokenizer) -> None:
    assert "".join(map(tokenizer.piece, tokenizer.encode("Çay demledim."))) == "Çay demledim."
    assert [tokenizer.piece(row) for row in tokenizer.encode("漢")] == ["⟨E6⟩", "⟨BC⟩", "⟨A2⟩"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_thousand_strings_come_back(kinds: dict[str, Path], kind: str) -> None:
    tokenizer = Tokenizer(kinds[kind])

    @settings(max_examples=20_000, deadline=None, database=None)
    @given(text=texts | turkish)
    def comes_back(text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text), keep_control=True) == text

    comes_back()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "superwords", "tr32k"])
def test_all_real_text_comes_back(shared: Path, kinds: dict[str, Path], kind: str) -> None:
    """Every string of every record, code and messy text included."""
    tokenizer = Tokenizer(kinds[kind])
    num_bytes = 0
    for path in shards(shared):
        first, second = tee(strings_of(path))
        for text, ids in zip(first, tokenizer.encode_arrays(second), strict=True):
            assert tokenizer.decode(ids.tolist(), keep_control=True) == text, path.name
            num_bytes += len(text.encode())
    assert num_bytes > 100_000_000
