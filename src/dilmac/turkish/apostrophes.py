"""The apostrophe of Turkish: it parts a proper noun, a number or an abbreviation from its suffixes.

`İstanbul'da`, `5'inci`, `TBMM'nin`. Typed, it comes in eight shapes, some of which are quotation
marks elsewhere; which one it is only the suffix after it can tell.
"""

from __future__ import annotations

import re
from itertools import pairwise

from dilmac.turkish.casing import lower

MARKS = "'’ʼ‘´`＇′"
_OTHER_MARKS = MARKS.replace("'", "")

# The suffixes in the usual notation: A is a or e, I is ı i u ü, D is d or t, C is c or ç, a letter
# in [] is a buffer. The order is plural, possessive, case, copula; `_harmonic` then takes only the
# variants that vowel harmony allows, so none of the several thousand forms is listed. A bare
# consonant (Ayşe'm, Ayşe'n) is left out: English I'm and don't look the same.
_CASE = "(?:[yn]?I|[yn]?A|n?DA|n?DAn|n?In|y?lA|n?CA)"
_POSSESSIVE = "(?:I?mIz|I?nIz|Im|In|sI|I)"
_NOUN = f"(?:lAr)?{_POSSESSIVE}?{_CASE}?"
_KI = f"(?:n?DA|n?In)ki(?:lAr)?(?:{_POSSESSIVE})?(?:{_CASE})?"
_COPULA = (
    "(?:DIr(?:lAr)?|y?DI(?:lAr|m|n|k)?|y?mIş(?:lAr|DIr)?|y?sA(?:lAr|m|n|k)?|y?Im|y?Iz|sIn|yken)"
)
# Numbers and derivation: 5'inci, 6'şar, 20'lik, 10'lu, İstanbul'lu, Atatürk'çü, 2'siz
_DERIVED = "(?:I?ncI|ş?Ar|lIk|lI|CI|sIz)"
_CLASSES = {"A": "[ae]", "I": "[ıiuü]", "D": "[dt]", "C": "[cç]"}
_SUFFIX = re.compile(
    re.sub(
        "[AIDC]",
        lambda match: _CLASSES[match.group()],
        f"(?=.){_DERIVED}?(?:{_NOUN}|(?:lAr)?{_POSSESSIVE}?{_KI}){_COPULA}?",
    )
)

# What follows each vowel: [low, high]. The -ki of "daki" never changes.
_NEXT = {
    **dict.fromkeys("aı", "aı"),
    **dict.fromkeys("ou", "au"),
    **dict.fromkeys("ei", "ei"),
    **dict.fromkeys("öü", "eü"),
}
_VOWELS = frozenset("aeıioöuü")
_ELIDED = frozenset({"l", "d", "j", "m", "n", "s", "t", "c", "qu", "dell", "nell", "all", "un"})
# kat'i, kıt'a, nev'i, vak'a, re'sen: Arabic words whose apostrophe is a letter.
_OLD_WORD = re.compile(
    "cem|cüz|def|fer|kat|kıt|kur|men|mer|meş|nef|nev|re|ric|rub|san|sun|şer|tab|vak|vaz"
)


def _harmonic(suffix: str) -> bool:
    """Whether the vowels follow each other by vowel harmony ("ındaki" does, "indan" does not)."""
    for part in re.split("(?=ki)|(?=ken)", suffix):
        vowels = [letter for letter in part if letter in _VOWELS]
        if any(after not in _NEXT[vowel] for vowel, after in pairwise(vowels)):
            return False
    return True


def is_suffix(text: str) -> bool:
    """Whether `text`, in small letters, is a chain of Turkish suffixes: "nin", "lerdeki", "dır"."""
    return _SUFFIX.fullmatch(text) is not None and _harmonic(text)


def split_suffix(word: str) -> tuple[str, str] | None:
    """Stem and suffix of a word parted by an apostrophe of any shape, or None.

    `split_suffix("İstanbul'da") == ("İstanbul", "da")`; None for "O'Connor", "rock'n'roll",
    "don't", "l'un", "san'at", and for a word in quotation marks. The suffix is judged by itself
    (order of suffixes, vowel harmony), not against the stem, whose pronunciation its spelling does
    not tell ("Google'ın", "NATO'nun"). Old words with an apostrophe of their own ("kıt'a",
    "kat'i") are a short list; names of this kind may pass ("Sa'di", "San'a").
    """
    cut = max(map(word.rfind, MARKS))
    stem, suffix = word[:cut], word[cut + 1 :]
    if cut < 1 or not suffix or stem[0] in MARKS:
        return None
    letters = [letter for letter in stem if letter.isalpha()]
    if not (stem[-1].isalnum() or (stem[-1] == "." and stem[-2:-1].isalpha())):
        return None
    # A capital suffix belongs to a word in capitals: İSTANBUL'DA, but D'Artagnan and O'Na not.
    small = lower(suffix) if suffix.isupper() and all(map(str.isupper, letters)) else suffix
    if not is_suffix(small):
        return None
    if _OLD_WORD.fullmatch(stem):
        return None
    # French and Italian: l'un, d'un, dell'un. The names of these letters end in vowels in Turkish.
    if small[0] in _VOWELS and lower(stem) in _ELIDED:
        return None
    return stem, suffix


# The rare character first: the stem is then read backwards from it, which is three times as fast.
# U+02BC is a letter to Unicode, and a mark here.
_CANDIDATE = re.compile(
    rf"(?<=[\w.])[{_OTHER_MARKS}](?P<suffix>[^\W\d_{_OTHER_MARKS}]{{1,24}})(?![\w{MARKS}])"
)
_STEM_AT_END = re.compile(rf"[\w.&{MARKS}-]+$")
_STEM_CHARACTERS = 64
# An opening quotation mark stands before a word, a closing one after it.
_OPENING = re.compile(rf"(?<![\w{MARKS}.,;:!?…)])[{MARKS}](?=\S)")
_CLOSING = re.compile(rf"(?<=\S)[{MARKS}](?!\w)")
_QUOTATION_CHARACTERS = 200


def normalize_apostrophes(text: str) -> str:
    """`text` with the apostrophes before Turkish suffixes as `'`: "İstanbul’da" to "İstanbul'da".

    Only a mark between a letter or digit and a suffix (`split_suffix`) changes, and only if it
    does not close a quotation: in "‘Türk Dili’nde" and "`list`in" it stays. A quotation is looked
    for in the same line, 200 characters back. Length and all other characters stay.
    """
    if not any(map(text.__contains__, _OTHER_MARKS)):
        return text
    pieces: list[str] = []
    done = 0
    for match in _CANDIDATE.finditer(text):
        at = match.start()
        stem = _STEM_AT_END.search(text, max(0, at - _STEM_CHARACTERS), at)
        word = text[stem.start() if stem else at : match.end()]
        if split_suffix(word) and not _quotation_is_open(text, match.end() - len(word)):
            pieces += (text[done:at], "'")
            done = at + 1
    return "".join([*pieces, text[done:]])


def _quotation_is_open(text: str, end: int) -> bool:
    start = max(text.rfind("\n", 0, end) + 1, end - _QUOTATION_CHARACTERS)
    before = text[start:end]
    return len(_OPENING.findall(before)) > len(_CLOSING.findall(before))
