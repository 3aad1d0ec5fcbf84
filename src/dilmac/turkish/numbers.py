"""Numbers as Turkish writes them: 1.234,56 · %85 · 3'üncü · yüz yirmi üç.

The point parts thousands, the comma decimals. What follows from it: "1.234" is one thousand two
hundred and thirty-four, "1,234" is one and a bit, and "1.23" or "0.5" is no Turkish number: it may
be a time, a section or an English decimal, and is read as nothing rather than wrongly.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Literal, NamedTuple

from dilmac.turkish.apostrophes import MARKS, is_suffix


class Number(NamedTuple):
    """A number in a text: where it stands, its value, what it is.

    `span` are the offsets of the number with its sign, its percent sign and what makes it an
    ordinal, without case suffixes: "%85" in "%85'i", "3'üncü" in "3'üncüsü". The `value` of a
    percentage is the number written: 85.
    """

    span: tuple[int, int]
    value: Decimal
    kind: Literal["number", "percent", "ordinal"]


# A run takes in everything that digits are joined by, so that a date is seen whole and refused
# whole. It never gives back what it took (`++`, `*+`): 12.05 must not be found in 12.05.2024.
_RUN = re.compile(
    r"(?<![\w.,/@#%\-−–])"
    r"(?P<sign>[-−+])?"
    r"(?P<before>%[ \u00a0]?|[Yy]üzde |YÜZDE )?"
    r"(?P<digits>[0-9]++(?:[.,:/\-−–][0-9]++)*+)"
    r"(?P<after>[ \u00a0]?%(?![0-9\w]))?"
)
_TURKISH_NUMBER = re.compile(r"(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:\.[0-9]{3})+)(?:,[0-9]+)?")
_ADDRESS = re.compile(r"(?:(?:[01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5])(?:\.|$)){4}")
_ORDINAL_SUFFIX = re.compile(rf"[{MARKS}](?P<stem>[ıiuü]?nc[ıiuü])(?P<rest>[^\W\d_]*)")
_CASE_SUFFIX = re.compile(rf"[{MARKS}]([^\W\d_]+)")
# What makes digits a part of something else: 5G, 10-a, 12/A, 5.sınıf, user@, 3_x.
_JOINED = re.compile(r"\w|[-−–/.,:][^\W\d_]|[@#_]")


def find_numbers(text: str) -> list[Number]:
    """The Turkish numbers of `text`, from left to right.

    Found: 85 · -3,5 · 1.234.567,89 · %85, 85 %, yüzde 85 · 3'üncü · "3." before a small letter or
    at the start of a line (elsewhere the point ends a sentence: "2003. Sonra" is a number).
    Not found: dates, times, versions, addresses (12.05.2024, 14.30, 1.2.3, 192.168.1.1, and four
    groups up to 255 at that), ranges and scores (10-15, 3/4), digits with leading zeros (0532),
    digits joined to letters (5G, 10km), English decimals (1.23) and thousands (1,234,567). The
    English "1,234" cannot be told from a Turkish decimal and is read as one.
    """
    found = []
    for match in _RUN.finditer(text):
        number = _read(text, match)
        if number is not None:
            found.append(number)
    return found


def parse_number(text: str) -> Number | None:
    """The number that `text` is as a whole, suffixes allowed: "1.234,56", "%85'i", "3.", or None.

    What is read and what is refused is said at `find_numbers`.
    """
    stripped = text.strip()
    found = find_numbers(stripped)
    if len(found) != 1 or found[0].span[0] != 0:
        return None
    rest = stripped[found[0].span[1] :]
    # The rest of an ordinal ("3'üncü|sü") has no apostrophe of its own.
    suffix = rest if found[0].kind == "ordinal" else rest[1:]
    if rest and (not is_suffix(suffix) or (suffix != rest and rest[0] not in MARKS)):
        return None
    return found[0]


def _read(text: str, match: re.Match[str]) -> Number | None:
    digits, end = match["digits"], match.end()
    if _TURKISH_NUMBER.fullmatch(digits) is None or _ADDRESS.fullmatch(digits):
        return None
    value = Decimal(digits.replace(".", "").replace(",", "."))
    if match["sign"] in ("-", "−"):
        value = value.copy_negate()  # exact; `-value` rounds to the context
    if match["before"] or match["after"]:
        return None if _JOINED.match(text, end) else Number(match.span(), value, "percent")
    ordinal = _ordinal_end(text, match) if "," not in digits and not match["sign"] else None
    if ordinal is not None:
        return Number((match.start(), ordinal), value, "ordinal")
    return None if _JOINED.match(text, end) else Number(match.span(), value, "number")


def _ordinal_end(text: str, match: re.Match[str]) -> int | None:
    """Where the ordinal ends that starts with these digits: 3'üncü, "3. sınıf"; or None."""
    end = match.end()
    suffix = _ORDINAL_SUFFIX.match(text, end)
    if suffix and is_suffix(suffix["stem"] + suffix["rest"]):
        return suffix.end("stem")
    if text[end : end + 1] != "." or text[end + 1 : end + 2].strip():
        return None
    following = text[end + 1 : end + 3].lstrip(" \u00a0")[:1]
    starts_line = match.start() == text.rfind("\n", 0, match.start()) + 1
    return end + 1 if following.islower() or starts_line else None


def format_number(value: Decimal | int | float, decimals: int | None = None) -> str:
    """`value` as Turkish writes it: `format_number(1234.56) == "1.234,56"`.

    `decimals` digits after the comma, halves rounded up (away from zero); None leaves them as they
    are. ValueError for infinity, NaN and negative `decimals`.
    """
    # By way of the shortest spelling: 0.1 is 0,1 and not 0,1000000000000000055.
    number = Decimal(str(value))
    if not number.is_finite() or (decimals is not None and decimals < 0):
        raise ValueError(f"no number to write, or negative decimals: {value!r}, {decimals!r}")
    if decimals is not None:
        with localcontext(prec=max(28, number.adjusted() + decimals + 2)):
            number = number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    if number == 0:
        number = abs(number)  # no "-0"
    return f"{number:,f}".translate(_SWAP)


_SWAP = str.maketrans(",.", ".,")

_ONES = ("", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz")
_TENS = ("", "on", "yirmi", "otuz", "kırk", "elli", "altmış", "yetmiş", "seksen", "doksan")
_THOUSANDS = ("", "bin", "milyon", "milyar", "trilyon", "katrilyon")


def spell_number(number: int) -> str:
    """`number` in words: `spell_number(1923) == "bin dokuz yüz yirmi üç"`.

    ValueError from 10^18 on.
    """
    if abs(number) >= 10**18:
        raise ValueError(f"{number} is beyond 10^18, the last number with a name here")
    if number <= 0:
        return f"eksi {spell_number(-number)}" if number else "sıfır"
    words: list[str] = []
    for power in reversed(range(len(_THOUSANDS))):
        group = number // 1000**power % 1000
        if not group:
            continue
        hundreds, rest = divmod(group, 100)
        words += [_ONES[hundreds]] * (hundreds > 1) + ["yüz"] * (hundreds > 0)
        # One thousand is "bin", but one million "bir milyon".
        if not (power == 1 and group == 1):
            words += [_TENS[rest // 10], _ONES[rest % 10]]
        words.append(_THOUSANDS[power])
    return " ".join(filter(None, words))


_BACK, _ROUND, _VOICELESS = frozenset("aıou"), frozenset("oöuü"), frozenset("fstkçşhp")
_HIGH = {(True, False): "ı", (False, False): "i", (True, True): "u", (False, True): "ü"}


def with_suffix(number: int | str, suffix: str) -> str:
    """`number` with a suffix that fits how it is read: `with_suffix(6, "(y)I") == "6'yı"`.

    `suffix` in the usual notation: A is a/e, I is ı/i/u/ü, D is d/t, C is c/ç, and a letter in
    parentheses stands only where it is needed: a consonant after a vowel, a vowel after a
    consonant. The common ones: (y)I, (y)A, DA, DAn, (n)In, (s)I, lAr, (I)ncI, (ş)Ar, DIr.
    A `str` is a whole number as it shall be written: "1990", "%85". ValueError if it is none.
    """
    if isinstance(number, int):
        digits, value = format_number(number), number
    else:
        parsed = parse_number(number)
        if parsed is None or parsed.value % 1:
            raise ValueError(f"{number!r} is no whole number")
        digits, value = number, int(parsed.value)
    spoken = spell_number(value)
    written = ""
    for buffer, letter in re.findall(r"\((.)\)|(.)", suffix):
        last = (spoken + written)[-1]
        if buffer and (last in "aeıioöuü") == (buffer in "IA"):
            continue
        vowel = next(sound for sound in reversed(spoken + written) if sound in "aeıioöuü")
        sign = buffer or letter
        if sign == "A":
            sign = "a" if vowel in _BACK else "e"
        elif sign == "I":
            sign = _HIGH[vowel in _BACK, vowel in _ROUND]
        elif sign in "DC":
            sign = {"D": "dt", "C": "cç"}[sign][last in _VOICELESS]
        written += sign
    return f"{digits}'{written}"
