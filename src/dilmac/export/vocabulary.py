"""A tokenizer as GGUF metadata: tokens, their types, how text is cut, and who ends what.

llama.cpp's SentencePiece path ignores the normalizer and adds a space and a bos by default, so
both are switched off explicitly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf

from dilmac.core import InputError, read_json
from dilmac.engines import SUPPRESSED_KEY
from dilmac.export.byte_level import PRE, read_byte_level
from dilmac.tokenizer import (
    IM_END,
    PAD,
    PieceType,
    Tokenizer,
    is_byte_level,
    is_unigram,
    read_pieces,
)


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF says of a tokenizer. `tokens` and `types` are [rows]; `scores` [rows] belong to
    SentencePiece, `merges` ("a b", best first) to byte-level BPE."""

    model: str
    pre: str
    tokens: list[str]
    types: list[PieceType]
    document_end: int
    turn_end: int
    padding: int
    scores: list[float] | None = None
    merges: list[str] | None = None
    template: str | None = None


def read_vocabulary(folder: Path, num_rows: int) -> Vocabulary:
    """The tokenizer of a model folder; rows beyond it are named and typed as unused.

    Raises:
        InputError: neither a SentencePiece BPE nor a byte-level one in Qwen's manner, one without
            ChatML markers, or a vocabulary larger than the model.
    """
    tokenizer = Tokenizer(folder)
    tokenizer.require_fit(num_rows)
    scores = merges = None
    if is_byte_level(tokenizer.fast):
        model, pre = "gpt2", PRE
        known, merges = read_byte_level(tokenizer)
    else:
        model, pre = "llama", "default"
        known, scores = _read_sentencepiece(folder)
        scores += [-1000.0] * (num_rows - len(scores))
    controls = {row: name for name, row in tokenizer.control_tokens.items()}
    tokens, types = [], []
    for row in range(num_rows):
        # A model with eyes gets its markers in the tokenizer.json, after SentencePiece's last row.
        is_control = row in controls and row not in known
        kind = PieceType.CONTROL if is_control else PieceType.UNUSED
        token, kind = known.get(row, (controls.get(row, f"[unused{row}]"), kind))
        tokens.append(token)
        types.append(kind)
    end = tokenizer.document_start_id
    return Vocabulary(
        model,
        pre,
        tokens,
        types,
        document_end=end,
        turn_end=tokenizer.control_id(IM_END),
        # Qwen pads with what ends a document.
        padding=tokenizer.control_tokens.get(PAD, end),
        scores=scores,
        merges=merges,
        template=chat_template_of(folder),
    )


def _read_sentencepiece(folder: Path) -> tuple[dict[int, tuple[str, PieceType]], list[float]]:
    model_file = folder / "tokenizer.model"
    if not model_file.is_file():
        raise InputError(
            "no tokenizer.model in it, and its tokenizer.json is no byte-level one",
            where=folder,
            mend="use a tokenizer that `dilmac tokenizer train` or `extend` made",
        )
    if is_unigram(model_file):
        raise InputError(
            "a unigram vocabulary: llama.cpp's has no byte fallback and loses characters",
            where=model_file,
            mend="train a BPE vocabulary (`dilmac tokenizer train` without `--algorithm unigram`)",
        )
    pieces = read_pieces(model_file)
    known = {row: (piece.text, piece.type) for row, piece in enumerate(pieces)}
    return known, [piece.score for piece in pieces]


def chat_template_of(folder: Path) -> str | None:
    """The chat template: a file of its own, or, in older folders, a string in the settings."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    stated = read_json(folder / "tokenizer_config.json").get("chat_template")
    return stated if isinstance(stated, str) else None


def add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """Write every key of the tokenizer; nothing is left to llama.cpp's defaults."""
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types([int(kind) for kind in vocabulary.types])
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
        writer.add_unk_token_id(0)
        writer.add_add_space_prefix(False)
    if vocabulary.merges is not None:
        writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.document_end)
    writer.add_eos_token_id(vocabulary.turn_end)
    writer.add_eot_token_id(vocabulary.turn_end)
    writer.add_pad_token_id(vocabulary.padding)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    if vocabulary.template is not None:
        writer.add_chat_template(vocabulary.template)


def add_suppressed(writer: gguf.GGUFWriter, folder: Path, num_rows: int) -> None:
    """Write the rows that a transplant silenced, for the engine: GGUF has no key for them.

    Raises:
        InputError: `suppress_tokens` of generation_config.json are no rows of the model.
    """
    path = folder / "generation_config.json"
    rows = read_json(path).get("suppress_tokens") or []
    if not isinstance(rows, list) or not all(
        isinstance(row, int) and 0 <= row < num_rows for row in rows
    ):
        raise InputError(f"suppress_tokens are no ids below {num_rows}", where=path)
    if rows:
        writer.add_array(SUPPRESSED_KEY, rows)
