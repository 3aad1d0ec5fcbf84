"""Tokenizer files: read back, copied, converted, and refused where they are not what they seem."""

import json
import re
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from dilmac.core import ConfigError, InputError
from dilmac.tokenizer import (
    Message,
    PieceType,
    Tokenizer,
    TokenizerConfig,
    copy_tokenizer,
    encode_chat,
    read_pieces,
    train_tokenizer,
)
from dilmac.tokenizer.convert import merges_of


def test_every_byte_and_control_token_has_its_row(sample_tokenizer: Path) -> None:
    pieces = read_pieces(sample_tokenizer / "tokenizer.model")
    assert sum(piece.type == PieceType.BYTE for piece in pieces) == 256
    controls = [piece.text for piece in pieces if piece.type == PieceType.CONTROL]
    assert controls == [
        "<|endoftext|>",
        "<|pad|>",
        "<|im_start|>",
        "<|im_end|>",
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
    ]
    assert pieces[0].text == "<unk>" and len(pieces) == 1024


def test_merges_make_known_pieces_best_first(sample_tokenizer: Path) -> None:
    pieces = read_pieces(sample_tokenizer / "tokenizer.model")
    score = {piece.text: piece.score for piece in pieces}
    merged = ["".join(pair) for pair in merges_of(pieces)]
    assert set(merged) <= set(score)
    scores = [score[text] for text in merged]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("data", "fault"), [(None, "no such file"), (b"\xff\xff", "SentencePiece")]
)
def test_what_is_no_sentencepiece_model_is_refused(
    tmp_path: Path, data: bytes | None, fault: str
) -> None:
    if data is not None:
        (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(InputError, match=fault):
        read_pieces(tmp_path / "tokenizer.model")


def test_auto_tokenizer_reads_the_folder_as_it_is(sample_tokenizer: Path) -> None:
    auto = AutoTokenizer.from_pretrained(sample_tokenizer)
    assert len(auto) == 1024 and auto.is_fast
    assert (auto.eos_token, auto.pad_token, auto.bos_token) == ("<|im_end|>", "<|pad|>", None)
    assert auto.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"]) == [3, 4]
    assert auto.decode(auto(" iki  boşluk ").input_ids) == " iki  boşluk "


def test_a_copy_is_the_same_tokenizer(sample_tokenizer: Path, tmp_path: Path) -> None:
    copy_tokenizer(sample_tokenizer, tmp_path)
    assert not (tmp_path / "artifact.json").exists()
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (sample_tokenizer / path.name).read_bytes()
    assert Tokenizer(tmp_path).encode("Kopyası") == Tokenizer(sample_tokenizer).encode("Kopyası")


@pytest.fixture
def without_markers(sample_tokenizer: Path, tmp_path: Path) -> Tokenizer:
    """The same pieces, none of them a control token."""
    settings = json.loads((sample_tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    settings["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    return Tokenizer(tmp_path)


def test_a_tokenizer_without_chat_markers_says_so(without_markers: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"no control token <\|im_start\|>"):
        encode_chat(without_markers, [Message("user", "Merhaba")])
    with pytest.raises(InputError, match="no end-of-text token"):
        _ = without_markers.document_start_id
    assert without_markers.decode(without_markers.encode("Yine de okur.")) == "Yine de okur."


def test_a_folder_without_the_sentencepiece_model_still_encodes_in_bulk(
    sample_tokenizer: Path, tmp_path: Path
) -> None:
    shutil.copyfile(sample_tokenizer / "tokenizer.json", tmp_path / "tokenizer.json")
    strings = ["Bir göl kıyısında.", "<|im_end|>", ""]
    expected = [Tokenizer(sample_tokenizer).encode(text) for text in strings]
    assert list(Tokenizer(tmp_path).encode_stream(strings)) == expected


def test_the_largest_vocabulary_that_is_named_can_be_trained(
    sample_corpus: Path, tmp_path: Path
) -> None:
    config = TokenizerConfig(corpus=sample_corpus, vocab_size=10**6, out=tmp_path / "t")
    with pytest.raises(ConfigError) as caught:
        train_tokenizer(config)
    assert caught.value.where == "--vocab-size"
    largest = int(re.findall(r"at most (\d+)", caught.value.mend or "")[0])
    made = train_tokenizer(config.model_copy(update={"vocab_size": largest}))
    assert made.figures["vocab_size"] == len(Tokenizer(made.path)) == largest
