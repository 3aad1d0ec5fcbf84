"""Tokenizers of every kind, trained by SentencePiece with DESIGN.md's settings."""

from __future__ import annotations

import io
from pathlib import Path

import sentencepiece

from dilmac.tokenizer import ENTITY_SETS
from dilmac.tokenizer.convert import with_exact_scores, write_hf_folder
from dilmac.tokenizer.special import REQUIRED_CHARACTERS
from dilmac.tokenizer.train import FIXED

USER_TOKENS = (*ENTITY_SETS["education"].tokens, "İstanbul", "<ders>")
OPTIONS: dict[str, dict[str, object]] = {
    "plain": {},
    "crossing": {"split_by_whitespace": False},
    "user": {"user_defined_symbols": list(USER_TOKENS)},
    "unigram": {"model_type": "unigram"},
    "unigram-user": {"model_type": "unigram", "user_defined_symbols": list(USER_TOKENS)},
}
# The product's own: pieces across words and with line breaks, and entity tokens; what ships.
KINDS = (*OPTIONS, "superwords", "tr32k")


def train_kind(kind: str, lines: list[str], folder: Path, vocab_size: int = 1500) -> Path:
    """A tokenizer folder with DESIGN.md's settings and those of a kind."""
    model = io.BytesIO()
    settings = FIXED | {
        "model_type": "bpe",
        "vocab_size": vocab_size,
        "character_coverage": 0.9995,
        "required_chars": REQUIRED_CHARACTERS,
        "split_digits": True,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, **settings | OPTIONS[kind]
    )
    is_unigram = kind.startswith("unigram")
    data = with_exact_scores(model.getvalue()) if is_unigram else model.getvalue()
    folder.mkdir(parents=True)
    (folder / "tokenizer.model").write_bytes(data)
    write_hf_folder(folder / "tokenizer.model", folder)
    return folder
