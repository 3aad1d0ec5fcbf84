"""Characters that a fault leaves behind; a text without any of them needs no closer look."""

from __future__ import annotations

import re

# Controls but tab and line feed, and characters that are not to be seen. A zero-width joiner
# between emoji has a meaning (`characters.py`).
CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
INVISIBLE = "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
SPACES = "\u00a0\u2000-\u200a\u202f\u205f\u3000"

# What UTF-8 looks like, read as Latin-1 or cp1252, and cp1254 read as Latin-1.
_MOJIBAKE = re.compile("[ÃÄÅÂŸðþýÐÞÝ\u0080-\u009f]")
_UNSEEN = re.compile(f"[\r{CONTROLS}{INVISIBLE}{SPACES}]")
_COMBINING = "\u0300-\u036f"
_CYRILLIC = "\u0400-\u052f"
_SUSPECT = re.compile(f"[<&ÃÄÅÂŸðþýÐÞÝ{CONTROLS}{INVISIBLE}{SPACES}{_COMBINING}{_CYRILLIC}]")


def has_suspects(text: str) -> bool:
    """Whether a character is there that good Turkish prose seldom has."""
    return _SUSPECT.search(text) is not None or "â€" in text


def may_be_mojibake(text: str) -> bool:
    """Whether a letter is there that a wrong decoding leaves."""
    if text.isascii():
        return False
    return _MOJIBAKE.search(text) is not None or "â€" in text


def has_unseen(text: str) -> bool:
    """Whether a control, an invisible character or an unusual space is there."""
    return _UNSEEN.search(text) is not None
