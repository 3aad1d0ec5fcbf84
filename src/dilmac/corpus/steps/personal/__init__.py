"""Personal data in Turkish text: TCKN, VKN, IBAN, cards, telephones, e-mail, number plates.

`find_personal_data` says where it stands, `mask_personal_data` puts `<TCKN>`, `<VKN>`, `<IBAN>`,
`<KART>`, `<TELEFON>`, `<EPOSTA>` and `<PLAKA>` in its place. Every kind has a validator beside its
pattern. Not found on purpose: names, addresses of streets, 444 0 123 (seven digits, of companies).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator

from dilmac.corpus.steps.personal.emails import find_disguised_emails, find_emails
from dilmac.corpus.steps.personal.gates import gates
from dilmac.corpus.steps.personal.identity import (
    Span,
    find_cards,
    find_iban,
    find_tckn,
    find_vkn,
)
from dilmac.corpus.steps.personal.phones import find_phones, find_phones_abroad
from dilmac.corpus.steps.personal.plates import find_plates
from dilmac.corpus.steps.personal.spans import (
    PLACEHOLDERS,
    PersonalData,
    mask_personal_data,
    plain,
)

__all__ = [
    "PLACEHOLDERS",
    "PersonalData",
    "find_personal_data",
    "mask_personal_data",
    "without_personal_data",
]

Finding = tuple[str, int, int]  # kind, start, end

# Ten digits or more with at most three separators between two of them.
_RUN = re.compile(
    "\\d(?:[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000.．\\-\u00ad\u2010-\u2015\u2212－/／()（）]"
    "{0,3}\\d){9,}+"
)
# Date and number of a law, "(Ek: 28/12/2006-5571/29 md.)": nine in ten runs of Turkish law texts.
_LAW = re.compile(r"\d\d?[./]\d\d?[./][12]\d{3} ?[-–/] ?\d{2,5}(?: ?/ ?\d{1,3})?")
_AROUND = 80  # characters on both sides of a run that are looked at: labels, +, TR, parentheses

# In this order: what is found first is out of reach of those after it.
_NUMBERS: tuple[tuple[str, Callable[[str, int, int], Iterator[Span]]], ...] = (
    ("iban", find_iban),
    ("phone", find_phones_abroad),
    ("card", find_cards),
    ("tckn", find_tckn),
    ("vkn", find_vkn),
    ("phone", find_phones),
)
_TAKEN = "\ufffc"  # stands for characters of a finding: no digit, no letter

# A finding is a neighbor; without it the next number may stand alone or nearer to a label.
_MAX_ROUNDS = 8


def without_personal_data(text: str) -> str:
    """The text with all that is found masked: for what is only shown."""
    return mask_personal_data(text, find_personal_data(text))


def find_personal_data(text: str) -> list[PersonalData]:
    """Personal data of a text, sorted by place and not overlapping.

    Its digits may be of any script, its spaces and hyphens of any kind. In the masked text nothing
    is found any more.
    """
    found = _find_once(text)
    new = found
    for _ in range(_MAX_ROUNDS):
        if not new:
            break
        masked, starts = _masked_with_starts(text, found)
        new = [
            PersonalData(item.kind, item.start + shift, item.end + shift, item.text)
            for item, shift in _shifted(_find_once(masked), starts)
        ]
        found = sorted([*found, *new], key=lambda item: item.start)
    return found


def _masked_with_starts(text: str, found: list[PersonalData]) -> tuple[str, list[tuple[int, int]]]:
    """The masked text, and after each placeholder its end there and the shift to the original."""
    starts, shift = [(0, 0)], 0
    for item in found:
        shift += item.end - item.start - len(PLACEHOLDERS[item.kind])
        starts.append((item.end - shift, shift))
    return mask_personal_data(text, found), starts


def _shifted(
    found: list[PersonalData], starts: list[tuple[int, int]]
) -> Iterator[tuple[PersonalData, int]]:
    index = 0
    for item in found:
        while index + 1 < len(starts) and starts[index + 1][0] <= item.start:
            index += 1
        yield item, starts[index][1]


def _find_once(text: str) -> list[PersonalData]:
    can = gates(text)
    if not any(can):
        return []
    spans = list[Finding]()
    if can.emails:
        spans += (("email", *span) for span in find_emails(text))
    if can.disguised_emails:
        spans += (("email", *span) for span in find_disguised_emails(text))
    if can.plates:
        spans += (("plate", *span) for span in find_plates(text))
    first = _apart(spans)
    spans = list(first)
    for run in _RUN.finditer(text) if can.numbers else ():
        if _LAW.fullmatch(run.group()):
            continue
        for kind, start, end in _numbers_of_run(text, run.start(), run.end()):
            # The digits of an address belong to the address, where it began before or after.
            index = bisect_left(first, end, key=lambda span: span[1])
            if not index or first[index - 1][2] <= start:
                spans.append((kind, start, end))
    return [PersonalData(kind, start, end, text[start:end]) for kind, start, end in _apart(spans)]


def _apart(spans: list[Finding]) -> list[Finding]:
    """Sorted by place; of two that overlap the first."""
    kept, last = list[Finding](), 0
    for span in sorted(spans, key=lambda span: span[1]):
        if span[1] >= last:
            kept.append(span)
            last = span[2]
    return kept


def _numbers_of_run(text: str, start: int, end: int) -> Iterator[Finding]:
    offset = max(0, start - _AROUND)
    near = plain(text[offset : end + _AROUND])
    for kind, find in _NUMBERS:
        parts, last = list[str](), 0
        for first, stop in find(near, start - offset, end - offset):
            # What lies outside of the run belongs to another one.
            if first < end - offset and stop > start - offset:
                yield kind, first + offset, stop + offset
            if first >= last:
                parts += near[last:first], _TAKEN * (stop - first)
                last = stop
        if last:
            near = "".join(parts) + near[last:]
