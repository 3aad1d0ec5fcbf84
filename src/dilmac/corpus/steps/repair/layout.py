"""Lines broken at a column, and spaces lost after punctuation: mended only where certain."""

from __future__ import annotations

import re

_SMALL = "a-zçğıöşüâîû"
_LETTER = "A-Za-zÇĞİÖŞÜçğıöşüâîû"

# A broken line ends in the middle of a sentence and the next goes on in small letters.
_GOES_ON = frozenset("abcçdefgğhıijklmnoöprsştuüvyzqwxâîû,")
_CONTINUES = re.compile(rf"^[{_SMALL}]+[,.;:’']*(?: |$)")
MIN_BROKEN_LINES = 8  # of a text
MIN_BROKEN_SHARE = 0.3  # of a text's lines
MIN_WIDTH, MAX_WIDTH = 40, 120  # of lines broken at a column [characters]

# "alınır.Başvuru", "lisans,izin". A mark is looked for first, since marks are few: 15 times quicker
# than to look for the letters before it.
_NO_SPACE = re.compile(
    rf"[.,;](?:(?<=[{_SMALL}]{{3}}\.)(?=[A-ZÇĞİÖŞÜ][{_SMALL}]{{2}})"
    rf"|(?<=[{_SMALL}]{{3}}[,;])(?=[{_LETTER}]{{3}}))"
)
_WITH_SPACE = re.compile(rf"[.,;](?<=[{_SMALL}]{{3}}.)(?=\s+[{_LETTER}])")
_NAMESPACE = re.compile(
    rf"(?<!\w)[A-Z][{_LETTER}]*\.[A-Z]|(?<!\w)\w+\.\w+\.\w"
)  # System.Xml, a.b.c
_TURKISH_LETTER = re.compile("[çğıöşüÇĞİÖŞÜ]")
_CODE = re.compile(r"[{}<>=\\$|`#_@]|\w\(|://|www\.|\.(?:com|net|org|tr|js|ts|py|cs|xml|json)\b")
MIN_LOST_SPACES = 20  # of a text: a writer of short reviews may leave them out by habit
MIN_LOST_SHARE = 0.1  # of the marks between words


def repair_layout(text: str) -> str:
    """Mend broken lines, then lost spaces."""
    if text.count("\n") >= MIN_BROKEN_LINES:
        text = _join_lines(text)
    return _restore_spaces(text)


def _join_lines(text: str) -> str:
    lines = text.split("\n")
    goes_on = [
        MIN_WIDTH <= len(line) <= MAX_WIDTH
        and line[-1] in _GOES_ON
        and _CONTINUES.match(following) is not None
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
    ]
    filled = sum(1 for line in lines if line)
    if sum(goes_on) < max(MIN_BROKEN_LINES, MIN_BROKEN_SHARE * filled):
        return text
    parts = [line + (" " if joins else "\n") for line, joins in zip(lines, goes_on, strict=True)]
    return "".join(parts)[:-1]


def _restore_spaces(text: str) -> str:
    if len(_NO_SPACE.findall(text)) < MIN_LOST_SPACES:  # most texts have none
        return text
    lines = text.split("\n")
    prose = {place for place, line in enumerate(lines) if not _is_code(line)}
    lost = sum(len(_NO_SPACE.findall(lines[place])) for place in prose)
    kept = sum(len(_WITH_SPACE.findall(lines[place])) for place in prose)
    if lost < max(MIN_LOST_SPACES, MIN_LOST_SHARE * (lost + kept)):
        return text
    return "\n".join(
        _NO_SPACE.sub(lambda match: match[0] + " ", line) if place in prose else line
        for place, line in enumerate(lines)
    )


def _is_code(line: str) -> bool:
    if not _TURKISH_LETTER.search(line):
        return True
    return _CODE.search(line) is not None or _NAMESPACE.search(line) is not None
