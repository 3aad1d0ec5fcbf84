"""The second pass: pieces that may cross a space (SuperBPE, Liu et al. 2025, arXiv 2503.13423).

SentencePiece's BPE does not pre-split at encoding, so a piece such as `▁ya▁da` works unchanged in
SentencePiece, Hugging Face and llama.cpp; it needs only a lower score than the pieces it is made
of. After a first pass inside words, pairs of neighboring pieces are merged where that saves most
tokens, across a space or within a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from dilmac.core import ConfigError, num_cpus, say
from dilmac.tokenizer.merges import WALL, Borders, PairMerger, Pieces, cannot_follow
from dilmac.tokenizer.special import SPACE_MARK

MAX_SUPERWORD_CHARS = 32
BATCH_TEXTS = 512

_ENDS_SENTENCE = re.compile(r"[.!?…:;。！？](?:[^\w▁]|_)*$")
_OTHER_LINE_BREAKS = re.compile("[\t\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_LINE_BREAKS = re.compile(r"▁?[^\w\s▁]*\n+")


class PieceRules:
    """Which two pieces may become one.

    Never across a line break, a digit or the end of a sentence; at most `max_words` words; spaces
    at the end only where a piece is nothing but spaces.
    """

    def __init__(self, max_words: int, max_chars: int = MAX_SUPERWORD_CHARS):
        self.max_words, self.max_chars = max_words, max_chars

    def allow(self, left: str, right: str) -> bool:
        """Whether the two may be joined."""
        piece = left + right
        if len(piece) > self.max_chars or cannot_follow(borders_of(left), borders_of(right)):
            return False
        if "\n" in piece:
            return _LINE_BREAKS.fullmatch(piece) is not None
        if set(piece) == {SPACE_MARK}:
            return True
        inside = piece.lstrip(SPACE_MARK)
        if piece.endswith(SPACE_MARK) or _OTHER_LINE_BREAKS.search(piece):
            return False
        if SPACE_MARK not in inside:
            return True
        return (
            not piece.startswith(SPACE_MARK * 2)
            and SPACE_MARK * 2 not in inside
            and inside.count(SPACE_MARK) < self.max_words
            and not any(_ENDS_SENTENCE.search(word) for word in inside.split(SPACE_MARK)[:-1])
        )


def borders_of(piece: str) -> Borders:
    """What can never be joined to a piece: the quick look that spares most pairs `allow`."""
    has_digit = any(character.isdigit() for character in piece)
    is_spaces = set(piece) == {SPACE_MARK}
    ends_line = piece.endswith("\n") and set(piece) != {"\n"}  # `.⏎⏎`: nothing is added to it
    return Borders(
        closed_left=has_digit,
        closed_right=has_digit or ends_line or (piece.endswith(SPACE_MARK) and not is_spaces),
        starts_word=piece.startswith(SPACE_MARK),
        ends_sentence=_ENDS_SENTENCE.search(piece) is not None,
    )


def crosses_words(piece: str) -> bool:
    """Whether a piece holds a space between other characters."""
    return SPACE_MARK in piece.strip(SPACE_MARK)


def add_superwords(
    model: bytes, texts: Iterable[tuple[str, float]], num: int, max_words: int
) -> bytes:
    """The model with `num` more rows: the pieces that save most tokens of the weighted texts.

    Memory: about 45 bytes a token of the texts, 11 MB a MB of Turkish.

    Raises:
        ConfigError: the texts have fewer pairs that may be joined.
    """
    pieces = Pieces.of_model(model)
    ids, weights = _encoded(model, texts)
    say(f"tokenizer: {num:,} pieces across words, from {len(ids) / 1e6:.1f} million tokens")
    merger = PairMerger(pieces, (ids, weights), PieceRules(max_words).allow, borders_of)
    made = merger.run(num)
    if len(made) < num:
        raise ConfigError(
            f"the text has only {len(made):,} of {num:,} pieces across words",
            where="--superwords",
            mend=f"give at most {len(made):,}, or more text",
        )
    return _with_pieces(model, made)


def _encoded(
    model: bytes, texts: Iterable[tuple[str, float]]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Ids of all texts, each text followed by a WALL, and the weight of each id."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    source = iter(texts)
    ids, weights = [], []
    while batch := list(islice(source, BATCH_TEXTS)):
        encoded = processor.encode([text for text, _ in batch], num_threads=num_cpus())
        for row, (_, weight) in zip(encoded, batch, strict=True):
            ids.append(np.array([*row, WALL], dtype=np.int32))
            weights.append(np.full(len(row) + 1, weight, dtype=np.float32))
    if not ids:
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    return np.concatenate(ids), np.concatenate(weights)


def _with_pieces(model: bytes, pieces: list[str]) -> bytes:
    """The model with rows for `pieces`, each of a lower score than all before it."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    lowest = min(row.score for row in proto.pieces)
    for place, piece in enumerate(pieces, start=1):
        proto.pieces.add(piece=piece, score=lowest - place)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return bytes(proto.SerializeToString())
