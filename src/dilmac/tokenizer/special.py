"""Control tokens and required characters of every tokenizer that dilmaç trains."""

from __future__ import annotations

import string

UNKNOWN = "<unk>"  # never produced: byte fallback covers every text
END_OF_TEXT = "<|endoftext|>"  # ends a document in pretraining
PAD = "<|pad|>"  # its own token: a model whose pad is its eos never learns to stop
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"  # ends a turn; the tokenizer's eos

CONTROL_TOKENS = (UNKNOWN, END_OF_TEXT, PAD, IM_START, IM_END)

SPACE_MARK = "\u2581"  # SentencePiece writes a space as this; see `Tokenizer.encode`

# `character_coverage` drops rare characters: `%` became a byte token in a trial.
REQUIRED_CHARACTERS = (
    string.digits
    + string.ascii_letters
    + string.punctuation
    + "çğıöşüÇĞİÖŞÜâîûÂÎÛ"
    + "’‘“”«»…–—·•°€₺²³½×"
)
