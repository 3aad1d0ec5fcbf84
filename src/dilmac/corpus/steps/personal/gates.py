"""Cheap questions before dear ones: what can be in a text at all.

On text without candidates these passes over its bytes are all the work there is.
"""

from __future__ import annotations

from typing import NamedTuple

_MIN_DIGITS = b"0" * 10  # VKN; every other kind of number has more, and a plate has its word


class Gates(NamedTuple):
    """What a text may hold; a yes costs a closer look, a no is certain."""

    numbers: bool
    emails: bool
    disguised_emails: bool
    plates: bool


def _digit_table() -> tuple[bytes, bytes]:
    """Table and deletions for `bytes.translate`: digits become 0, separators go, the rest is x.

    UTF-8: C2, E2 and E3 lead to spaces and hyphens and go, as do the bytes that continue a
    character; D9, DB, DF, E0, E1, EA, EF and F0 lead to the digits of other scripts and count as
    one, with the letters of their blocks. Turkish letters (C3, C4, C5) are none of these.
    """
    deleted = bytes([*b" .-/()", 0xC2, 0xE2, 0xE3, *range(0x80, 0xC0)])
    digits = {*b"0123456789", 0xD9, 0xDB, 0xDF, 0xE0, 0xE1, 0xEA, 0xEF, 0xF0}
    return bytes(ord("0") if byte in digits else ord("x") for byte in range(256)), deleted


_TABLE, _DELETED = _digit_table()


def gates(text: str) -> Gates:
    """Which kinds of personal data the text may hold."""
    data = text.encode("utf-8", "surrogatepass")
    small = data.lower()  # of ASCII letters only, which is what is asked for below
    return Gates(
        numbers=_MIN_DIGITS in data.translate(_TABLE, _DELETED),
        emails=b"@" in data or "＠" in text,
        disguised_emails=(
            b" at " in small  # and "( at )"
            or b"(at)" in small
            or (b"]" in data and b"[at]" in small)
            or (b"}" in data and b"{at}" in small)
            or (b"@" in data and (b"@]" in data or b"@)" in data or b" @ " in data))
        ),
        plates=(
            b"laka" in small
            or ("â" in text and b"l\xc3\xa2ka" in small)
            or ("Â" in text and b"l\xc3\x82ka" in small)
        ),
    )
