"""Control tokens and required characters of every tokenizer that dilmaç trains."""

from __future__ import annotations

import string
from collections.abc import Mapping

UNKNOWN = "<unk>"  # never produced: byte fallback covers every text
END_OF_TEXT = "<|endoftext|>"  # ends a document in pretraining
PAD = "<|pad|>"  # its own token: a model whose pad is its eos never learns to stop
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"  # ends a turn; the tokenizer's eos

THINK_START = "<think>"  # what the assistant thinks before it answers, as in Qwen3
THINK_END = "</think>"
TOOL_CALL_START = "<tool_call>"  # a call of a tool, as in Qwen3
TOOL_CALL_END = "</tool_call>"

# Control tokens that stand within an answer; any other that a model writes ends it.
ANSWER_MARKS = (THINK_START, THINK_END, TOOL_CALL_START, TOOL_CALL_END)

# After `<unk>`, end of text and pad, in this order, in every vocabulary.
CONTROL_SYMBOLS = (IM_START, IM_END, *ANSWER_MARKS)
CONTROL_TOKENS = (UNKNOWN, END_OF_TEXT, PAD, *CONTROL_SYMBOLS)

SPACE_MARK = "\u2581"  # SentencePiece writes a space as this; see `Tokenizer.encode`

# `character_coverage` drops rare characters: `%` became a byte token in a trial.
REQUIRED_CHARACTERS = (
    string.digits
    + string.ascii_letters
    + string.punctuation
    + "çğıöşüÇĞİÖŞÜâîûÂÎÛ"
    + "’‘“”«»…–—·•°€₺²³½×"
)

# What stands before a document: what ends the one before it, or a bos.
_DOCUMENT_STARTS = (END_OF_TEXT, "<|begin_of_text|>", "<bos>", "<s>", "</s>")


def document_start(control: Mapping[str, int]) -> int | None:
    """Id that stands before a document, by the control tokens and their ids; None if none does."""
    return next((control[token] for token in _DOCUMENT_STARTS if token in control), None)
