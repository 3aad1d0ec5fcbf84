"""Text decoded by the wrong table: UTF-8 read as Latin-1 or cp1252, cp1254 read as Latin-1.

Sources: ftfy (Speer 2019, doi:10.5281/zenodo.2591652) for the first; the table of the second is the
difference of the two code pages.
"""

from __future__ import annotations

import re

import ftfy
import ftfy.badness

from dilmac.corpus.steps.repair.suspects import may_be_mojibake

# cp1254 and Latin-1 differ in these six letters.
_CP1254_AS_LATIN1 = str.maketrans("ðþýÐÞÝ", "ğşıĞŞİ")
_ICELANDIC = re.compile("[ðþýÐÞÝ]")
_TURKISH_ONLY = re.compile("[ğşıĞŞİ]")
_ELSEWHERE = re.compile("[áéíóúæøřžčěĚÁÉÍÓÚÆØŘŽČ]")  # Icelandic, Czech
MIN_BROKEN = 3  # such letters of a text
# In cp1254 seven bytes mean nothing; of the Turkish letters that hits Ş (C5 9E) and Ğ (C4 9E),
# whose second byte a decoder may have replaced. No other letter of Turkish begins so.
_LOST_SECOND_BYTE = re.compile("([ÅÄ])\ufffd")
_TURKISH_AS_LATIN1 = re.compile("Ä[±°\x9f\x9eŸž]|Å[\x9f\x9eŸž]|Ã[¼¶§œ–‡\x9c\x96\x87]")
MIN_TURKISH_PAIRS = 2  # Turkish letters in their broken form that make a lost byte certain


def repair_encoding(text: str) -> str:
    """Decode again what was decoded wrongly."""
    if not may_be_mojibake(text):
        return text
    if "\ufffd" in text and len(_TURKISH_AS_LATIN1.findall(text)) >= MIN_TURKISH_PAIRS:
        text = _LOST_SECOND_BYTE.sub("\\1\x9e", text)
    if ftfy.badness.is_bad(text):
        text = ftfy.fix_encoding(text)
    return _repair_cp1254(text)


def _repair_cp1254(text: str) -> str:
    num_icelandic = len(_ICELANDIC.findall(text))
    # A name or two, or a language that has these letters and others that Turkish has not.
    if num_icelandic < MIN_BROKEN or 3 * len(_ELSEWHERE.findall(text)) >= num_icelandic:
        return text
    num_turkish = len(_TURKISH_ONLY.findall(text))
    if not num_turkish:
        return text.translate(_CP1254_AS_LATIN1)
    if num_icelandic <= num_turkish:
        return text  # a Turkish text with Icelandic names in it
    # Two texts put together: each line by itself.
    return "\n".join(
        line if _TURKISH_ONLY.search(line) else line.translate(_CP1254_AS_LATIN1)
        for line in text.split("\n")
    )
