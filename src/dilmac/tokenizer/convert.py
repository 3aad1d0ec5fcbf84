"""SentencePiece → Hugging Face `tokenizer.json`, id for id.

transformers' own conversion differs on 3 of 12 strings; this one on 0 of 5,000, because merges
are ranked by the score of the piece they make, as SentencePiece itself chooses them. Unigram models
are first given scores whose sums are exact (`with_exact_scores`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers

from dilmac.core import InputError, write_json
from dilmac.tokenizer.chat import CHAT_TEMPLATE
from dilmac.tokenizer.special import IM_END, PAD, SPACE_MARK, UNKNOWN


class PieceType(IntEnum):
    """Type of a piece, numbered as in sentencepiece_model.proto and in GGUF."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Piece:
    """A row of a SentencePiece vocabulary; its id is its place."""

    text: str
    score: float
    type: PieceType


def read_pieces(model_file: Path) -> list[Piece]:
    """The vocabulary of a `tokenizer.model`.

    Raises:
        InputError: the file is missing or no SentencePiece model.
    """
    pieces = _read_model(model_file).pieces
    return [Piece(row.piece, row.score, PieceType(row.type)) for row in pieces]


def is_unigram(model_file: Path) -> bool:
    """Whether a `tokenizer.model` is a unigram model, and not BPE.

    Raises:
        InputError: the file is missing or no SentencePiece model.
    """
    spec = _read_model(model_file).trainer_spec
    return bool(spec.model_type == spec.UNIGRAM)


def with_exact_scores(model: bytes) -> bytes:
    """A unigram model whose scores are multiples of 1/64.

    SentencePiece adds scores as 32-bit floats, Hugging Face as 64-bit ones: where two ways to cut a
    text are equally good, rounding decides, and 8 of 443 documents were cut otherwise. Multiples of
    1/64 add up exactly in both, up to some 30,000 tokens: 0 of 443. The number of tokens stays
    (801,111 and 801,111).
    """
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    for row in proto.pieces:
        row.score = round(row.score * 64) / 64
    return bytes(proto.SerializeToString())


def _read_model(model_file: Path) -> Any:
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    try:
        return sentencepiece_model_pb2.ModelProto.FromString(model_file.read_bytes())
    except FileNotFoundError as error:
        raise InputError("no such file", where=model_file) from error
    except DecodeError as error:
        raise InputError("no SentencePiece model", where=model_file) from error


def merges_of(pieces: list[Piece]) -> list[tuple[str, str]]:
    """Merges in the order in which SentencePiece prefers them.

    A piece can come together in several ways; all of them are merges of the same rank in
    SentencePiece (the leftmost wins) and neighbors here.
    """
    ids = {piece.text: row for row, piece in enumerate(pieces)}
    ranked = sorted(
        (row for row, piece in enumerate(pieces) if piece.type == PieceType.NORMAL),
        key=lambda row: -pieces[row].score,
    )
    merges = []
    for row in ranked:
        text = pieces[row].text
        splits = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        known = [pair for pair in splits if pair[0] in ids and pair[1] in ids]
        merges += sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return merges


def to_fast(pieces: list[Piece], *, unigram: bool = False) -> tokenizers.Tokenizer:
    """The same tokenizer for Hugging Face's Rust library."""
    fast = tokenizers.Tokenizer(_unigram(pieces) if unigram else _bpe(pieces))
    fast.normalizer = normalizers.Replace(" ", SPACE_MARK)
    fast.decoder = decoders.Sequence(
        [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = (PieceType.UNKNOWN, PieceType.CONTROL)
    fast.add_special_tokens(
        [AddedToken(p.text, special=True, normalized=False) for p in pieces if p.type in special]
    )
    if not unigram:  # BPE reads them before anything else, unigram weighs them like other pieces
        fast.add_tokens(
            [
                AddedToken(p.text, normalized=False)
                for p in pieces
                if p.type == PieceType.USER_DEFINED
            ]
        )
    return fast


def _bpe(pieces: list[Piece]) -> models.BPE:
    return models.BPE(
        vocab={piece.text: row for row, piece in enumerate(pieces)},
        merges=merges_of(pieces),
        unk_token=UNKNOWN,
        byte_fallback=True,
        fuse_unk=True,
    )


def _unigram(pieces: list[Piece]) -> models.Unigram:
    scores = [piece.score for piece in pieces if piece.type == PieceType.NORMAL]
    lowest, highest = min(scores), max(scores)

    def score(piece: Piece) -> float:
        match piece.type:
            case PieceType.NORMAL:
                return piece.score
            case PieceType.USER_DEFINED:  # as SentencePiece's unigram_model.cc weighs it
                return len(piece.text.encode()) * highest - 0.1
        # SentencePiece reads no other in a text: below its characters one by one, nor is it here.
        return (len(piece.text) + 1) * lowest

    vocabulary = [(piece.text, score(piece)) for piece in pieces]
    return models.Unigram(vocabulary, unk_id=0, byte_fallback=True)


def write_hf_folder(model_file: Path, folder: Path) -> None:
    """Write `tokenizer.json`, its configs and the chat template beside `tokenizer.model`."""
    pieces = read_pieces(model_file)
    fast = to_fast(pieces, unigram=is_unigram(model_file))
    fast.save(str(folder / "tokenizer.json"))
    control = [piece.text for piece in pieces if piece.type == PieceType.CONTROL]
    write_json(
        folder / "tokenizer_config.json",
        {
            # The class that reads tokenizer.json as it is; a Llama class would convert it anew.
            "tokenizer_class": "PreTrainedTokenizerFast",
            # Without it llama.cpp's converter mis-tokenizes 1,495 of 1,500 strings.
            "add_prefix_space": False,
            "add_bos_token": False,
            "add_eos_token": False,
            "bos_token": None,
            "eos_token": IM_END,
            "pad_token": PAD,
            "unk_token": UNKNOWN,
            "extra_special_tokens": [name for name in control if name not in (IM_END, PAD)],
            "clean_up_tokenization_spaces": False,
            "model_max_length": 1_000_000,
        },
    )
    write_json(
        folder / "special_tokens_map.json",
        {
            "eos_token": IM_END,
            "pad_token": PAD,
            "unk_token": UNKNOWN,
            "additional_special_tokens": control,
        },
    )
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
