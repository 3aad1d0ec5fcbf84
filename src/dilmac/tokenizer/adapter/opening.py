"""Any tokenizer as a `Side`: a folder, a `Tokenizer`, a SentencePiece model of the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from unicodedata import normalize

from dilmac.core import InputError
from dilmac.tokenizer.adapter.side import REPLACEMENT, Side
from dilmac.tokenizer.canonical import token_bytes
from dilmac.tokenizer.convert import Piece, PieceType, read_pieces
from dilmac.tokenizer.encode import MODEL_FILE, TOKENIZER_FILES, Tokenizer, require_characters
from dilmac.tokenizer.hub import folder_of
from dilmac.tokenizer.special import SPACE_MARK, UNKNOWN

# What must come back from the bytes of a tokenizer.json's tokens; SentencePiece's own conversions
# (dummy prefix, collapsed spaces, NFKC, lower case) lose one of them.
PROBES = ("a", " a", "  a  b ", "\n\ta\n", "İIıi ŞĞ", "ﬁ", "😀\0")


def open_side(tokenizer: Tokenizer | Path | str) -> Side:
    """Open a tokenizer folder, a SentencePiece model, or a name on the hub.

    Raises:
        InputError: nothing of the kind is there, or its tokens' bytes do not give a text back.
    """
    if isinstance(tokenizer, Tokenizer):
        return _of_tokenizer(tokenizer)
    if Path(tokenizer).is_file():
        return _of_sentencepiece(Path(tokenizer))
    folder = folder_of(str(tokenizer), TOKENIZER_FILES)
    if (folder / MODEL_FILE).is_file() and not (folder / "tokenizer.json").is_file():
        return _of_sentencepiece(folder / MODEL_FILE)
    return _of_tokenizer(Tokenizer(folder))


def _of_tokenizer(tokenizer: Tokenizer) -> Side:
    rows = token_bytes(tokenizer.fast)
    control = tokenizer.control_tokens
    if (unknown := control.pop(UNKNOWN, None)) is not None:
        rows[unknown] = REPLACEMENT.encode()
    for row, token in tokenizer.fast.get_added_tokens_decoder().items():
        if rows[row] is None and token.content not in control:  # a piece of the user's: content
            rows[row] = token.content.encode()
    side = Side(tokenizer.folder, tokenizer.encode, rows, control, tokenizer=tokenizer)
    for probe in PROBES:
        if side.kept(probe) != normalize("NFC", probe):
            raise InputError(
                f"the bytes of its tokens do not give {probe!r} back",
                where=tokenizer.folder,
                mend="if its tokenizer.json was made from a SentencePiece .model, give that file",
            )
    return side


def _of_sentencepiece(path: Path) -> Side:
    """A user's own model, as SentencePiece itself reads it."""
    from sentencepiece import SentencePieceProcessor

    pieces = read_pieces(path)
    try:
        processor = SentencePieceProcessor(model_file=str(path))
    except RuntimeError as error:
        raise InputError(f"no SentencePiece model ({error})", where=path) from error

    def encode(text: str) -> list[int]:
        require_characters(text)
        ids: list[int] = processor.encode(text)
        return ids

    dropped_spaces, losses = _read_losses(processor.serialized_model_proto())
    return Side(
        path,
        encode,
        rows=[_bytes_of(piece) for piece in pieces],
        control={p.text: row for row, p in enumerate(pieces) if p.type == PieceType.CONTROL},
        losses=losses,
        dropped_spaces=dropped_spaces,
    )


def _bytes_of(piece: Piece) -> bytes | None:
    if piece.type in (PieceType.CONTROL, PieceType.UNUSED):
        return None
    if piece.type == PieceType.UNKNOWN:
        return REPLACEMENT.encode()
    if piece.type == PieceType.BYTE:
        return bytes([int(piece.text[3:5], 16)])
    return piece.text.replace(SPACE_MARK, " ").encode()


def _read_losses(model: bytes) -> tuple[int, tuple[str, ...]]:
    """How many leading spaces decoding takes away (SentencePiece's `Decode`), and what is lost."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    rules, trained = proto.normalizer_spec, proto.trainer_spec
    losses = {
        f"the form of characters ({rules.name or 'rules of its own'})": rules.precompiled_charsmap,
        "repeated spaces and those at the ends (remove_extra_whitespaces)": (
            rules.remove_extra_whitespaces
        ),
        "the borders of parts, each of which gets a space of its own (add_dummy_prefix)": (
            rules.add_dummy_prefix
        ),
        f"characters without a piece, read as {REPLACEMENT} (no byte_fallback)": (
            not trained.byte_fallback
        ),
        f"U+2581 ({SPACE_MARK}), read as a space": True,
    }
    named = tuple(loss for loss, is_lost in losses.items() if is_lost)
    return sys.maxsize if rules.remove_extra_whitespaces else int(rules.add_dummy_prefix), named
