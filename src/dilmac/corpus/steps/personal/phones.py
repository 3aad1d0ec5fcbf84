"""Telephone numbers: Turkish ones by shape and phonenumbers, others where they begin with +.

A Turkish number is taken for its shape when it carries 0, +90 or 0090; a mobile number without
them when it stands alone in the usual grouping; any other ten digits only behind a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from dilmac.corpus.steps.personal.identity import Span, searched
from dilmac.corpus.steps.personal.labels import NEAR_CHARS, is_amount, is_something_else, label_of
from dilmac.corpus.steps.personal.spans import (
    begins,
    digits_of,
    ends,
    groups,
    is_uniform,
    looks_like_code,
    stands_alone,
)

_JOINT = r"[ .\-/]{0,3}"
_TURKISH = re.compile(
    rf"(?<!\d)(?=[(+02-589])(?P<country>\(?(?:\+ ?\(?|00[ .\-/]?)90\)?|90(?=[ .\-/]?\(?5))?{_JOINT}"
    rf"(?P<trunk>\(?0\)?)?{_JOINT}"
    rf"(?P<area>\(?(?P<code>[2-58]\d\d)\)?){_JOINT}"
    rf"(?P<line>\d(?:{_JOINT}\d){{6}})(?!\d)"
)
_ABROAD = re.compile(r"\(?\+ ?\(?[1-9]\d{0,2}\)?(?:[ .\-/()]{0,2}\d){6,13}(?!\d)")

_MAX_HEAD = 4  # characters before the first digit: "(+ ("

# How the seven digits behind the area code are grouped: with 0 or +90 in front, and without.
_GROUPINGS = {(7,), (3, 4), (3, 2, 2), (4, 3), (2, 2, 3), (2, 3, 2), (3, 1, 3), (2, 5), (1, 3, 3)}
_USUAL_GROUPINGS = {(7,), (3, 4), (3, 2, 2)}
# Exchanges 000 are given to nobody, so invented numbers use them; phonenumbers may call them
# invalid, but in a text they are telephone numbers like the others.
_UNASSIGNED = "000"

_CHAIN_BEFORE = re.compile(r"\d\.\Z")
_CHAIN_AFTER = re.compile(r"\.\d")
_NEXT_PHONE = re.compile(r"[ ,/\-]0[2-58]\d\d")  # 05321234567/05331234568
_DECIMAL_AFTER = re.compile(r",\d{1,2}(?!\d)")


@cache
def _phonenumbers() -> Any:
    import phonenumbers  # 30 ms, and more for the metadata of the region: only when needed

    return phonenumbers


def _is_valid(number: str) -> bool:
    library = _phonenumbers()
    try:
        return bool(library.is_valid_number(library.parse(number)))
    except library.NumberParseException:
        return False


def find_phones_abroad(text: str, low: int, high: int) -> Iterator[Span]:
    """Numbers that begin with + and a country's code, of any country, as phonenumbers has them."""
    for start, longest in searched(_ABROAD, text, max(0, low - _MAX_HEAD), high):
        if start and (text[start - 1].isalnum() or text[start - 1] in "_+)"):
            continue
        for end in _group_ends(text, start, longest):
            begin = _balanced(text, start, end)
            if begin is None or not ends(text, end):
                continue
            number = "+" + digits_of(text[start:end]).lstrip("+")
            if not _is_thousands(text[start:end]) and _is_valid(number):
                yield begin, end
                break


def _group_ends(text: str, start: int, end: int) -> list[int]:
    found = [start + match.end() for match in re.finditer(r"\d+", text[start:end])]
    return found[::-1]


def _is_thousands(number: str) -> bool:
    """Whether it is written like an amount: +1.234.567.890."""
    return re.fullmatch(r"\+ ?\d{1,3}(?:\.\d{3})+", number) is not None


def find_phones(text: str, low: int, high: int) -> Iterator[Span]:
    """Turkish numbers, as the head of this file says."""
    match = _TURKISH.search(text, max(0, low - _MAX_HEAD))
    while match and match.start() < high:
        span = _turkish(text, match)
        if span:
            yield span
        match = _TURKISH.search(text, span[1] if span else match.start() + 1)


def _turkish(text: str, match: re.Match[str]) -> Span | None:
    start, end = match.span()
    if not (begins(text, start) and ends(text, end)):
        return None
    begin = _balanced(text, start, end)
    if begin is None or _DECIMAL_AFTER.match(text, end):
        return None
    if not _has_shape(text, match, begin):
        return None
    code, digits = match["code"], digits_of(match["line"])
    is_marked = bool(match["country"] or match["trunk"])
    if is_marked and digits.startswith(_UNASSIGNED):
        return begin, end
    return (begin, end) if _is_valid(f"+90{code}{digits}") else None


def _has_shape(text: str, match: re.Match[str], start: int) -> bool:
    line = tuple(len(part) for part in groups(match["line"]))
    end = match.end()
    label, distance = label_of(text, start, end)
    if match["country"]:
        is_marked = match["country"] != "90"
        return label == "phone" or (is_marked and line in _GROUPINGS)
    if label == "phone":
        return not _is_decimal_of(match) and _is_no_link(text, start, end)
    if match["trunk"]:
        return line in _GROUPINGS and _is_trunk_shape(text, match, start)
    if (
        (label and distance <= NEAR_CHARS)
        or line not in _USUAL_GROUPINGS
        or is_amount(text, start, end)
    ):
        return False
    if (
        is_something_else(text, start)
        or not stands_alone(text, start, end)
        or looks_like_code(text, start, end)
    ):
        return False
    in_parentheses = match["area"].startswith("(")
    is_split = match.end("area") < match.start("line")
    if in_parentheses:
        return line != (7,) or is_split
    # 555 000 00 00 is an amount, or a place for a number.
    is_mobile = match["code"].startswith("5") and set(digits_of(match["line"])) != {"0"}
    return is_mobile and is_split == (len(line) > 1) and is_uniform(match.group())


def _is_trunk_shape(text: str, match: re.Match[str], start: int) -> bool:
    if _is_decimal_of(match) or _CHAIN_AFTER.match(text, match.end()):
        return False
    if is_something_else(text, start):
        return False
    is_glued = match.end("trunk") == match.start("code")
    if is_glued and len(groups(match.group())) > 1:  # 0532 123 …: no other number begins with 0
        return not looks_like_code(text, start, start)
    if _NEXT_PHONE.match(text, match.end()):
        return True
    return stands_alone(text, start, match.end()) and not looks_like_code(text, start, match.end())


def _is_no_link(text: str, start: int, end: int) -> bool:
    """Whether it is not a piece of a longer chain of figures with points."""
    return not (
        _CHAIN_AFTER.match(text, end) or _CHAIN_BEFORE.search(text, max(0, start - 2), start)
    )


def _is_decimal_of(match: re.Match[str]) -> bool:
    """Whether it is a fraction such as 0.5321234567."""
    return re.match(r"0\.\d{9,}", match.group()) is not None


def _balanced(text: str, start: int, end: int) -> int | None:
    """Where a number begins when a parenthesis that is not its own is left out; None if odd."""
    number = text[start:end]
    surplus = number.count("(") - number.count(")")
    if surplus == 0:
        return start
    return start + 1 if surplus == 1 and number.startswith("(") else None
