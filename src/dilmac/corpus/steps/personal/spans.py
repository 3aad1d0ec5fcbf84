"""What a finding is, what stands in its place, and digits and signs in one spelling."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

# What a mask writes in place of each kind: short, upper case, in angle brackets, so that it can
# be one piece of a vocabulary and is no word of Turkish.
PLACEHOLDERS = {
    "tckn": "<TCKN>",
    "vkn": "<VKN>",
    "iban": "<IBAN>",
    "card": "<KART>",
    "phone": "<TELEFON>",
    "email": "<EPOSTA>",
    "plate": "<PLAKA>",
}

# What stands between the digits of one number, in plain spelling (see `plain`).
SEPARATOR = r"(?: ?[.\-/] ?| {1,2})"

# Turkish suffixes that people write on a number without an apostrophe. None of them is made of
# hexadecimal letters only (e, a, de, da), which would find numbers inside of GUIDs.
_GLUED_SUFFIX = re.compile(
    r"(?:[dt][ıiuü]r|[dt][ea]n|t[ea]|y[eaıiuü]|n?[ıiuü]n|[ıiuü]|y?l[ea]|l[ıiuü]|no'?lu|numara\w*)"
    r"(?!\w)",
    re.IGNORECASE,
)
_GLUED_LABEL = re.compile(
    r"(?<!\w)(?:tel|telefon|gsm|cep|faks|fax|no|tc|tckn|tckno|vkn|vno|iban|kart|plaka)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PersonalData:
    """One finding: its kind (a key of `PLACEHOLDERS`), where it stands, and how it is written."""

    kind: str
    start: int
    end: int
    text: str


def mask_personal_data(text: str, found: Iterable[PersonalData]) -> str:
    """The text with every finding replaced by its placeholder, such as `<TELEFON>`.

    Args:
        found: findings of this text, sorted and not overlapping.
    """
    parts, last = list[str](), 0
    for item in found:
        parts += text[last : item.start], PLACEHOLDERS[item.kind]
        last = item.end
    return "".join(parts) + text[last:]


class _Plain(dict[int, str]):
    """Table of `plain`, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = plain = _plain_char(char)
        return plain


def _plain_char(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Zs":
        return " "
    if category == "Pd" or char == "\u2212":
        return "-"
    if "\uff01" <= char <= "\uff5e":  # fullwidth ASCII
        return chr(ord(char) - 0xFEE0)
    return {"’": "'", "‘": "'", "ʼ": "'", "\u2044": "/", "\u2215": "/"}.get(char, char)


_PLAIN = _Plain()


def plain(text: str) -> str:
    """Same length, with digits of every script, spaces, hyphens and fullwidth signs as ASCII."""
    return text if text.isascii() else text.translate(_PLAIN)


_NO_DIGITS = str.maketrans("", "", " .-/():\n")


def digits_of(text: str) -> str:
    """The digits of a number without what stands between them."""
    return text.translate(_NO_DIGITS)


def groups(text: str) -> list[str]:
    """The digit groups of a number: `groups("532-123 45") == ["532", "123", "45"]`."""
    return re.findall(r"\d+", text)


def is_uniform(text: str) -> bool:
    """Whether one and the same separator stands between all digit groups."""
    return len(set(re.findall(r"(?<=\d)\D+(?=\d)", text))) <= 1


def begins(text: str, start: int) -> bool:
    """Whether something may begin here: not inside of a word, but for a label ("tel0532…")."""
    if not start or not (text[start - 1].isalnum() or text[start - 1] == "_"):
        return True
    return bool(_GLUED_LABEL.search(text, max(0, start - 9), start))


def ends(text: str, end: int) -> bool:
    """Whether something may end here: not inside of a word, but for a Turkish suffix."""
    if end == len(text) or not (text[end].isalnum() or text[end] == "_"):
        return True
    return bool(_GLUED_SUFFIX.match(text, end))


_DIGITS_BEFORE = re.compile(r"\d(?:[ .\-/,'_]|\)[ ]?)\Z")
_DIGITS_AFTER = re.compile(r"(?:[ .\-/,'_]|[ ]?\()\d")


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no other digits stand next to it, as they do in tables, decimals and versions."""
    return not (
        _DIGITS_BEFORE.search(text, max(0, start - 3), start) or _DIGITS_AFTER.match(text, end)
    )


_CODE_BEFORE = re.compile(r"(?:\d[.\-/]|[\da-fA-F]{4}-|[=&?%$~_+*^\\])\Z")
_CODE_AFTER = re.compile(r"\.[\da-z]|[-/]\d|-[\da-fA-F]{4}|[=&%*^\\]")


def looks_like_code(text: str, start: int, end: int) -> bool:
    """Whether it hangs on other characters, as in addresses of pages, GUIDs and formulas."""
    if _CODE_BEFORE.search(text, max(0, start - 5), start) or _CODE_AFTER.match(text, end):
        return True
    word = text[max(0, start - 80) : start].rsplit(None, 1)[-1:]
    return bool(start and not text[start - 1].isspace() and word) and (
        "://" in word[0] or "www." in word[0]
    )
