"""Cyrillic letters that look Latin, inside words that are otherwise Latin ("Bakаnlık").

Table: the lookalikes of Unicode's confusables.txt (UTS 39) among the Cyrillic letters.
"""

from __future__ import annotations

import re

_LOOKALIKES = dict(
    zip("аеорсухіјѕһԁԛԝАВЕКМНОРСТУХІЈЅҮ", "aeopcyxijshdqwABEKMHOPCTYXIJSY", strict=True)
)
_TO_LATIN = str.maketrans(_LOOKALIKES)
_CYRILLIC = "\u0400-\u052f"
_WORD = re.compile(rf"(?<!\w)\w*[{_CYRILLIC}]\w*")
_OTHER_CYRILLIC = re.compile(f"[{_CYRILLIC}]")
_LATIN = re.compile("[A-Za-zÀ-ɏ]")


def repair_homoglyphs(text: str) -> str:
    """Mixed words in Latin letters; a Russian word stays Russian."""
    if not _OTHER_CYRILLIC.search(text):
        return text
    # A word all of lookalikes ("о", "есе") is Latin only where no word around it is Cyrillic.
    has_cyrillic_words = any(_is_cyrillic(word) for word in _WORD.findall(text))

    def latin(match: re.Match[str]) -> str:
        word = match[0]
        replaced = word.translate(_TO_LATIN)
        if _OTHER_CYRILLIC.search(replaced):
            return word
        is_mixed = _LATIN.search(word) is not None
        return replaced if is_mixed or not has_cyrillic_words else word

    return _WORD.sub(latin, text)


def _is_cyrillic(word: str) -> bool:
    return _OTHER_CYRILLIC.search(word.translate(_TO_LATIN)) is not None
