"""Any tokenizer, opened to be measured: folder, hub name, SentencePiece or tiktoken file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import tokenizers

from dilmac.core import InputError, num_cpus
from dilmac.tokenizer.canonical import readable, token_bytes
from dilmac.tokenizer.convert import Piece, PieceType, read_pieces
from dilmac.tokenizer.encode import MODEL_FILE, TOKENIZER_FILES, Tokenizer
from dilmac.tokenizer.hub import folder_of
from dilmac.tokenizer.measure.tiktoken import is_tiktoken, read_tiktoken
from dilmac.tokenizer.special import SPACE_MARK

JSON_FILE = "tokenizer.json"
OLDER_FILES = ("vocab.json", "vocab.txt")
FILES = (JSON_FILE, *OLDER_FILES, MODEL_FILE)  # what a folder is opened by, best first


@dataclass(frozen=True)
class Peer:
    """A tokenizer to be measured: text is content, control strings in it are text."""

    name: str
    tokens: list[bytes | str]  # of every row: its bytes, or the name of a control token
    unknown_row: int | None
    encode: Callable[[str], list[int]] = field(repr=False)
    encode_many: Callable[[list[str]], list[list[int]]] = field(repr=False)
    decode: Callable[[list[int]], str] = field(repr=False)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.tokens)

    def piece(self, row: int) -> str:
        """A token as a person reads it."""
        token = self.tokens[row]
        return token if isinstance(token, str) else readable(token)


def open_peer(name: str, tiktoken_split: str | None = None) -> Peer:
    """Open a tokenizer by its path, or by its name on the hub where there is no such path.

    Raises:
        InputError: nothing is there, or it is no tokenizer.
        ConfigError: the split pattern of a tiktoken file is unknown.
    """
    path = Path(name)
    if not path.exists():
        path = folder_of(name, [*TOKENIZER_FILES, *OLDER_FILES])
    if path.name == JSON_FILE:
        path = path.parent
    if path.is_dir():
        path = next((path / file for file in FILES if (path / file).is_file()), path / JSON_FILE)
    if path.name == JSON_FILE:
        ours = Tokenizer(path.parent)
        return _of_fast(name, ours.fast, ours)
    if path.name in OLDER_FILES:
        return _of_fast(name, _converted(path.parent))
    if is_tiktoken(path):
        return _of_fast(name, read_tiktoken(path, tiktoken_split))
    return _of_sentencepiece(name, path)


def _converted(folder: Path) -> tokenizers.Tokenizer:
    """What transformers makes of a folder from before `tokenizer.json`, such as BERT's."""
    from transformers import AutoTokenizer

    try:
        fast: tokenizers.Tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    except Exception as error:  # whatever such a folder lacks
        raise InputError(f"no readable tokenizer ({error})", where=folder) from error
    fast.encode_special_tokens = True
    return fast


def _of_fast(name: str, fast: tokenizers.Tokenizer, ours: Tokenizer | None = None) -> Peer:
    """A peer of Hugging Face's library; of a folder, `ours` is what the rest of dilmaç uses."""
    fast.no_truncation()  # some files say that 512 tokens are enough
    fast.no_padding()

    def encode(text: str) -> list[int]:
        ids: list[int] = fast.encode(text, add_special_tokens=False).ids
        return ids

    def encode_many(texts: list[str]) -> list[list[int]]:
        return [row.ids for row in fast.encode_batch_fast(texts, add_special_tokens=False)]

    model = json.loads(fast.to_str())["model"]
    unknown = model.get("unk_token")
    return Peer(
        name,
        tokens=[
            fast.id_to_token(row) or "" if data is None else data
            for row, data in enumerate(token_bytes(fast))
        ],
        unknown_row=model.get("unk_id") if unknown is None else fast.token_to_id(unknown),
        encode=ours.encode if ours else encode,
        encode_many=(lambda texts: list(ours.encode_stream(texts))) if ours else encode_many,
        decode=lambda ids: fast.decode(ids, skip_special_tokens=False),
    )


def _of_sentencepiece(name: str, path: Path) -> Peer:
    """A peer of SentencePiece's library, normalization and all."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor()
    pieces = read_pieces(path)
    try:
        processor.Load(str(path))
    except RuntimeError as error:
        raise InputError(f"no SentencePiece model ({error})", where=path) from error
    return Peer(
        name,
        tokens=list(map(_token, pieces)),
        unknown_row=processor.unk_id(),
        encode=processor.encode,
        encode_many=lambda texts: processor.encode(texts, num_threads=num_cpus()),
        decode=processor.decode,
    )


def _token(piece: Piece) -> bytes | str:
    if piece.type in (PieceType.CONTROL, PieceType.UNKNOWN):
        return piece.text
    if piece.type == PieceType.BYTE:
        return bytes([int(piece.text[3:5], 16)])
    return piece.text.replace(SPACE_MARK, " ").encode()
