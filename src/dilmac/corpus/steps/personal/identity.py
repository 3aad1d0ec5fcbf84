"""Numbers with a check digit: TCKN, VKN, IBAN and payment cards.

Validators: python-stdnum (tr.tckimlik, tr.vkn, iban, luhn). Every `find_…` here and in phones.py
takes a text in plain spelling and yields what begins in, or just before, `text[low:high]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dilmac.corpus.steps.personal.labels import is_amount, is_something_else, label_of
from dilmac.corpus.steps.personal.spans import (
    SEPARATOR,
    begins,
    digits_of,
    ends,
    groups,
    is_uniform,
    looks_like_code,
    stands_alone,
)

Span = tuple[int, int]

_TCKN = re.compile(rf"(?<!\d)[1-9](?:{SEPARATOR}?\d){{10}}(?!\d)")
_VKN_HINT = re.compile("[vV][kKeEnNdD. ]")  # a label in labels.py has one of these
_VKN = re.compile(rf"(?<!\d)\d(?:{SEPARATOR}?\d){{9}}(?!\d)")
# How a TCKN is grouped where it is grouped.
_TCKN_GROUPS = ([3, 3, 3, 2], [3, 4, 4], [4, 4, 3])

_TR_IBAN = re.compile(r"[Tt][Rr][ :]?\d(?:[ .\-/\n]{0,2}\d){23}(?!\d)")
_TR_IBAN_GROUPS = ([24], [2, 22], [2, 4, 4, 4, 4, 4, 2])
# Other countries: upper case, in the usual groups or in none. Longest: Malta, 31 characters.
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?:[ \-]?[A-Z0-9]{1,4}){3,8}(?![A-Za-z0-9])")
_MIN_IBAN = 15  # Norway
_MAX_IBAN_HEAD = 24  # characters before the first ten digits in a row: Malta, with spaces

# Issuers' first digits: Visa, Mastercard, American Express, Diners, JCB, Discover, UnionPay, Troy.
_ISSUER = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6(?:011|5\d\d|2\d\d|36\d)\d{12}|9792\d{12}"
)
_CARD = re.compile(
    rf"(?<!\d)(?:[2-69]\d{{3}}(?:{SEPARATOR}?\d{{4}}){{3}}"
    rf"|3\d{{3}}{SEPARATOR}?\d{{6}}{SEPARATOR}?\d{{4,5}})(?!\d)"
)
_EXPIRY_AFTER = re.compile(r" (?:0\d|1[0-2])/\d\d(?!\d)")

_FRACTION_AFTER = re.compile(r",\d{1,2}(?!\d)|\.\d")
_WHOLE_BEFORE = re.compile(r"\d\.\Z|(?<!\d)0,\Z")


def searched(pattern: re.Pattern[str], text: str, low: int, high: int) -> Iterator[Span]:
    """Matches that begin in `text[low:high]`, overlapping ones too: one that is refused must not
    hide the next.
    """
    match = pattern.search(text, low)
    while match and match.start() < high:
        yield match.span()
        match = pattern.search(text, match.start() + 1)


def find_tckn(text: str, low: int, high: int) -> Iterator[Span]:
    """Citizen numbers: 11 digits with both check digits.

    One number in a hundred passes them by chance; it is taken, but not where a label says that
    it is something else, where it is part of code or an amount, or where it is oddly grouped.
    """
    from stdnum.tr import tckimlik

    for start, end in searched(_TCKN, text, low, high):
        number = digits_of(text[start:end])
        # The second check digit by hand: tables of figures are full of candidates.
        if sum(map(int, number[:10])) % 10 != int(number[10]) or not tckimlik.is_valid(number):
            continue
        if not (begins(text, start) and ends(text, end) and is_uniform(text[start:end])):
            continue
        if _is_decimal(text, start, end):
            continue
        if label_of(text, start, end)[0] == "tckn" or _is_clear_tckn(text, start, end):
            yield start, end


def _is_clear_tckn(text: str, start: int, end: int) -> bool:
    """Whether it is a TCKN without a label too."""
    parts = groups(text[start:end])
    if is_something_else(text, start):
        return False
    if looks_like_code(text, start, end) or is_amount(text, start, end):
        return False
    if len(parts) == 1:
        return True
    return [len(part) for part in parts] in _TCKN_GROUPS and stands_alone(text, start, end)


def find_vkn(text: str, low: int, high: int) -> Iterator[Span]:
    """Tax numbers: 10 digits whose check digit is right, and a label that says so.

    The label is needed because every tenth number passes the check by chance.
    """
    from stdnum.tr import vkn

    if not _VKN_HINT.search(text):
        return
    for start, end in searched(_VKN, text, low, high):
        if not (begins(text, start) and ends(text, end) and is_uniform(text[start:end])):
            continue
        if _is_decimal(text, start, end) or not vkn.is_valid(digits_of(text[start:end])):
            continue
        if label_of(text, start, end)[0] == "vkn" and not is_amount(text, start, end):
            yield start, end


def find_iban(text: str, low: int, high: int) -> Iterator[Span]:
    """Account numbers of Turkey and of other countries.

    `TR` and 24 digits in a bank's own grouping are taken with wrong check digits too: nothing
    else is written so, and a mistyped account number still leads to its owner.
    """
    from stdnum import iban

    for start, end in searched(_TR_IBAN, text, max(0, low - 4), high):
        found = text[start:end]
        if begins(text, start) and ends(text, end):
            lengths = [len(part) for part in groups(found)]
            compact = "TR" + "".join(groups(found))
            if lengths in _TR_IBAN_GROUPS or iban.is_valid(compact, check_country=False):
                yield start, end
    for start, longest in searched(_IBAN, text, max(0, low - _MAX_IBAN_HEAD), high):
        end = longest
        while end - start >= _MIN_IBAN:  # a word in capitals may follow: try to leave it out
            if iban.is_valid(re.sub(r"[ \-]", "", text[start:end]), check_country=False):
                yield start, end
                break
            end = max(text.rfind(" ", start, end), text.rfind("-", start, end))


def find_cards(text: str, low: int, high: int) -> Iterator[Span]:
    """Payment cards: an issuer's first digits, its length, its grouping, and Luhn's check digit."""
    from stdnum import luhn

    for start, end in searched(_CARD, text, low, high):
        digits = digits_of(text[start:end])
        if not (_ISSUER.fullmatch(digits) and luhn.is_valid(digits)):
            continue
        if not (begins(text, start) and ends(text, end) and is_uniform(text[start:end])):
            continue
        if label_of(text, start, end)[0] == "card":
            yield start, end
        elif is_something_else(text, start):
            continue
        elif _EXPIRY_AFTER.match(text, end) or (
            stands_alone(text, start, end) and not looks_like_code(text, start, end)
        ):
            yield start, end


def _is_decimal(text: str, start: int, end: int) -> bool:
    """Whether it is the whole or the fraction of a number such as 1.234.567.890,00."""
    return bool(
        _FRACTION_AFTER.match(text, end) or _WHOLE_BEFORE.search(text, max(0, start - 3), start)
    )
