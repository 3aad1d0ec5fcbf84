"""Repair text: broken encodings, HTML leftovers, Unicode form. Good text comes out unchanged.

Sources: ftfy (Speer 2019, doi:10.5281/zenodo.2591652) for UTF-8 read as Latin-1 or cp1252; the
table of cp1254 read as Latin-1 is the difference of the two code pages.
"""

from __future__ import annotations

import html
import re

import ftfy
import ftfy.badness

from dilmac.turkish import nfc

# cp1254 and Latin-1 differ in these six letters.
_CP1254_AS_LATIN1 = str.maketrans("ðþýÐÞÝ", "ğşıĞŞİ")
_ICELANDIC = re.compile("[ðþýÐÞÝ]")
_TURKISH_ONLY = re.compile("[ğşıĞŞİ]")

# Invisible: controls but tab and line feed, zero-width characters, soft hyphen, bidi marks.
# A zero-width joiner stays between emoji, where it has a meaning.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
    r"|(?<=\w)[\u200c\u200d](?=\w)"
)
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_TRAILING = re.compile(r"[ \t]+(?=\n|$)")
_MANY_BREAKS = re.compile(r"\n{3,}")

_TAGS = "p|br|a|b|i|u|em|strong|span|div|ul|ol|li|font|center|table|tr|td|th|h[1-6]|img|hr"
_TAG = re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# A text about HTML mentions tags one at a time; leftovers come as pairs, repeated breaks, links.
_LEFTOVER = re.compile(
    rf"<({_TAGS})(?:\s[^<>]*)?>[^<>]*</\1>|<br\s*/?>(?=.*<br\s*/?>)|</p>|<a\s+href=|<!--.*?-->",
    re.IGNORECASE | re.DOTALL,
)
_BLOCK_END = re.compile(r"</p>|<br\s*/?>|</div>|</li>|</tr>|</h[1-6]>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{2,6}|#x[0-9a-fA-F]{2,5}|[A-Za-z]{2,8});")


def repair(text: str) -> str:
    """The text as its author meant it; `repair(repair(t)) == repair(t)`."""
    for _ in range(4):  # a repair can uncover the next fault (an entity behind a mojibake)
        repaired = _repair_once(text)
        if repaired == text:
            break
        text = repaired
    return text


def _repair_once(text: str) -> str:
    if not text.isascii():
        text = _repair_encoding(text)
    if "<" in text or "&" in text:
        text = _strip_html(text)
    text = nfc(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _INVISIBLE.sub("", text)
    text = _SPACES.sub(" ", text)
    text = _TRAILING.sub("", text)
    return _MANY_BREAKS.sub("\n\n", text).strip()


def _repair_encoding(text: str) -> str:
    if ftfy.badness.is_bad(text):
        text = ftfy.fix_encoding(text)
    if _ICELANDIC.search(text) and not _TURKISH_ONLY.search(text):
        text = text.translate(_CP1254_AS_LATIN1)
    return text


def _strip_html(text: str) -> str:
    if _LEFTOVER.search(text):
        text = _COMMENT.sub(" ", text)
        text = _BLOCK_END.sub("\n", text)
        text = _TAG.sub(" ", text)
        text = html.unescape(text)
        text = _SPACES.sub(" ", text)
        text = re.sub(r" {2,}", " ", text)
        text = re.sub(r" *\n *", "\n", text)
        return re.sub(r" (?=[.,;:!?)])", "", text)
    if "<" not in text and _ENTITY.search(text):
        return html.unescape(text)
    return text
