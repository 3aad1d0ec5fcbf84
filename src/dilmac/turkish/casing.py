"""Turkish casing: İ ↔ i and I ↔ ı, which `str.lower` and `str.upper` get wrong.

`"İ".lower()` is two code points (i and U+0307) and `"I".lower()` is i, so DİYARBAKIR grows by
a character and IŞIK becomes işik. Expects composed letters (`nfc`): an I with a combining dot is
two characters here.
"""

from __future__ import annotations

_UPPER = str.maketrans({"i": "İ", "ı": "I"})


def lower(text: str) -> str:
    """Lower case by the rules of Turkish: `lower("IŞIK İYİ") == "ışık iyi"`."""
    return text.replace("İ", "i").replace("I", "ı").lower()


def upper(text: str) -> str:
    """Upper case by the rules of Turkish: `upper("ışık iyi") == "IŞIK İYİ"`."""
    return text.replace("i", "İ").replace("ı", "I").upper()


def capitalize(text: str) -> str:
    """First letter large, the rest small, as `str.capitalize`: `capitalize("iYI") == "İyı"`."""
    # `title` of one letter, not `upper`: it makes ǆ to ǅ and ß to Ss.
    return text[:1].translate(_UPPER).title() + lower(text[1:])
