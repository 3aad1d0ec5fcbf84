"""Leftovers of HTML in text; a text about HTML, which mentions tags one by one, is left alone."""

from __future__ import annotations

import html
import html.entities
import re

_TAGS = "p|br|a|b|i|u|em|strong|span|div|ul|ol|li|font|center|table|tr|td|th|h[1-6]|img|hr"
_TAG = re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--(?:(?!<!--).)*?-->", re.DOTALL)
# Leftovers come as pairs, repeated breaks, links.
_JOINING = "ve|veya|ile|ya da|and|or|,|/"  # "<b> ve </b> arasına": a text about tags
_LEFTOVER = re.compile(
    rf"<({_TAGS})(?:\s[^<>]*)?>(?!\s*(?:{_JOINING})\s*<)[^<>]*</\1>|</p>|<a\s+href=|<!--(?:(?!<!--).)*?-->",
    re.IGNORECASE | re.DOTALL,
)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_BLOCK_END = re.compile(r"</p>|<br\s*/?>|</div>|</li>|</tr>|</h[1-6]>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{2,6}|#x[0-9a-fA-F]{2,5}|[A-Za-z][A-Za-z0-9]{1,31});")
# Code is full of tags that belong to it: a fence, a tag in back quotes, a script, a component; and
# so is a text that teaches HTML.
_CODE = re.compile(
    r"```|`</?\w|<script|<style|</?[A-Z][a-z]+[A-Z]|<[A-Z][a-z]+ ?/?>|\bclassName="
    r"|\b[Hh][Tt][Mm][Ll]\b|\b[Ee]tiket"
)


def strip_markup(text: str) -> str:
    """The text without tags and with its entities as the characters that they mean."""
    if "<" in text and _has_leftovers(text):
        text = _COMMENT.sub(" ", text)
        text = _BLOCK_END.sub("\n", text)
        text = _TAG.sub(" ", text)
        text = _unescape(text)
        text = re.sub(r"[ \u00a0]{2,}", " ", text)
        text = re.sub(r" *\n *", "\n", text)
        return re.sub(r" (?=[.,;:!?)])", "", text)
    if "&" in text and "<" not in text and _ENTITY.search(text):
        return _unescape(text)
    return text


def _has_leftovers(text: str) -> bool:
    if _CODE.search(_TAG.sub("", text)) and not text.lstrip().startswith("<"):
        return False
    return _LEFTOVER.search(text) is not None or len(_BREAK.findall(text)) >= 2


def _unescape(text: str) -> str:
    """Entities as characters; unlike `html.unescape` not the `&copy` of `?a=1&copy=2`."""
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    if entity[0][1] == "#":
        return html.unescape(entity[0])
    return html.entities.html5.get(entity[0][1:], entity[0])
