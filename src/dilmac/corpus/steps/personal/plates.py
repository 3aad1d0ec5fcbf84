"""Number plates of vehicles: 34 ABC 123, only near the word plaka.

Shape: province 01-81, then 1 letter and 4-5 digits, 2 and 3-4, or 3 and 2-3; no Ç Ş İ Ö Ü Ğ Q W X
(Karayolları Trafik Yönetmeliği).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dilmac.corpus.steps.personal.identity import Span
from dilmac.corpus.steps.personal.spans import ends, plain
from dilmac.turkish import lower

NEAR_CHARS = 64  # between the word and the plate; several plates may share one word

_WORD = re.compile(r"[pP][lL][aAâÂ][kK][aA]")
_PLATE = re.compile(
    r"(?<![^\W_])(?<!\d[.,\-/])(?:0[1-9]|[1-7]\d|8[01])(?P<first>[ .\-/]?)"
    r"(?P<letters>[A-PR-VYZa-pr-vyzı]{1,3})(?P<second>[ .\-/]?)(?P<digits>\d{2,5})(?!\d)"
)
_DIGITS_OF_LETTERS = {1: (4, 5), 2: (3, 4), 3: (2, 3)}
# "34 ve 2019", "12 ton 500" are no plates.
_WORDS = frozenset(
    (  # noqa: SIM905
        "ve ya da de ile ton gün yıl ay kg km m cm mm lt tl bin no nin nın in ın ise il gr dk sn "
        "adet"
    ).split()
)
_NEXT_BEFORE = re.compile(
    r"plaka(?:l[ıi]|s[ıi]|n[ıi]n|n[ıi]z|m)?\w{0,4}(?: (?:no|numara)\w*)?'?\w{0,4}[ .:=\-(\"]{0,4}\Z"
)
_NEXT_AFTER = re.compile(r"'?\w{0,5}[\"') ,]{0,3}(?:\w{1,10} )?pl[aâ]ka")


def find_plates(text: str) -> Iterator[Span]:
    """Plates in the text; capitals anywhere near the word, small letters next to it."""
    last = 0
    for word in _WORD.finditer(text):
        left = max(last, word.start() - NEAR_CHARS)
        near = plain(text[max(0, left - 1) : word.end() + NEAR_CHARS])
        offset = max(0, left - 1)
        for match in _PLATE.finditer(near):
            start, end = match.start() + offset, match.end() + offset
            if start >= last and _is_plate(match) and _is_named(near, match):
                last = end
                yield start, end


def _is_plate(match: re.Match[str]) -> bool:
    letters, digits = match["letters"], match["digits"]
    if len(digits) not in _DIGITS_OF_LETTERS[len(letters)]:
        return False
    return (letters.isupper() or letters.islower()) and ends(match.string, match.end())


def _is_named(near: str, match: re.Match[str]) -> bool:
    is_glued = not match["first"] and not match["second"]
    is_word = lower(match["letters"]) in _WORDS
    if is_glued or (match["letters"].isupper() and not is_word):
        return True
    if is_word and match["letters"].islower():
        return False
    before = lower(near[: match.start()])
    return bool(_NEXT_BEFORE.search(before) or _NEXT_AFTER.match(lower(near[match.end() :])))
