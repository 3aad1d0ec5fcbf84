"""E-mail addresses, plain and disguised: ad@ornek.com, "ad [at] ornek [dot] com", "ad at ornek
nokta com".

Each at-sign is a place to look from, to the left and to the right, so the cost does not grow
with the length of words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dilmac.corpus.steps.personal.identity import Span
from dilmac.corpus.steps.personal.spans import plain

MAX_LOCAL = 64  # characters before the sign (RFC 5321, 4.5.3.1.1)

_AT = re.compile("[@＠]")
_WORD_AT = re.compile(r"\s?[\[({]\s?(?:at|@)\s?[\])}]\s?|\s(?:at|@)\s", re.IGNORECASE)
_WORD_DOT = r"\s?[\[({]\s?(?:dot|nokta|\.)\s?[\])}]\s?|\s(?:dot|nokta)\s"
_WORD_DOT_END = re.compile(rf"(?:{_WORD_DOT})\Z", re.IGNORECASE)
# U+0307: what `str.lower` leaves of İ.
_LABEL = r"[^\W_](?:[\w\-\u0307]{0,62})"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{1,8}}")
_WORD_DOMAIN = re.compile(rf"{_LABEL}(?:(?:\.|{_WORD_DOT}){_LABEL}){{1,5}}", re.IGNORECASE)
_DOT = re.compile(rf"\.|{_WORD_DOT}", re.IGNORECASE)

# Last parts of domains: those of countries, and the common others. A list and not "any letters":
# "ad@ornek.com.Sonra" misses a space, and code is full of logo@2x.png and this@Main.binding.
_COUNTRIES = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs "
    "bt bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee "
    "eg er es et eu fi fj fk fm fo fr ga gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm "
    "hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb "
    "lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz "
    "na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs "
    "ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk "
    "tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
_GENERIC = (
    "com org net edu gov mil int info biz name pro aero coop museum jobs mobi travel tel cat asia "
    "app dev page cloud online site website web shop store tech blog news email mail live life "
    "world today space club xyz top vip icu fun art design studio agency company group team "
    "digital media social network systems solutions services software academy school college "
    "university education institute foundation ngo ong center international global media press "
    "bank finance insurance capital money law legal health clinic dental doctor hospital care "
    "istanbul ist berlin london paris eus gal scot test example invalid local localdomain internal "
    "host link click chat games studio work works zone expert guru ninja one plus"
)
_TOP_LEVEL = frozenset(f"{_COUNTRIES} {_GENERIC}".split())
# Where the sign or a point is only a word, or has spaces around it, fewer will do.
_SURE_TOP_LEVEL = frozenset(["com", "org", "net", "edu", "gov", "tr", "info", "biz"])
_FOLD = str.maketrans({"İ": "i", "I": "i", "ı": "i", "\u0307": ""})

_NO_PERSON = frozenset({"git", "this", "super", "return"})  # git@github.com:a/b, Kotlin's labels
_PATH_AFTER = re.compile(r":[~/]")
_PAGE_BEFORE = re.compile(r"://[^\s/@]{0,64}\Z")  # https://user:password@host


def find_emails(text: str) -> Iterator[Span]:
    """Addresses with the sign, by its place."""
    for match in _AT.finditer(text):
        span = _around(text, *match.span(), is_plain=True)
        if span:
            yield span


def find_disguised_emails(text: str) -> Iterator[Span]:
    """Addresses with a word for the sign, or with brackets or spaces around it."""
    for match in _WORD_AT.finditer(text):
        span = _around(text, *match.span(), is_plain=False)
        if span:
            yield span


def _around(text: str, at_start: int, at_end: int, *, is_plain: bool) -> Span | None:
    start = _local_start(text, at_start)
    if start is None or text[start:at_start].lower() in _NO_PERSON:
        return None
    end, has_word_dot = _domain_end(text, at_end, is_plain)
    if end is None or _is_part_of_page(text, start, end):
        return None
    if not is_plain and not has_word_dot:
        sign = text[at_start:at_end].strip()
        if sign.isalpha() and not re.search(r"[.\d_]", text[start:at_start]):
            return None  # "look at example.com"
    return start, end


def _local_start(text: str, end: int) -> int | None:
    """Where the part before the sign begins."""
    start = end
    for _ in range(4):  # "ad nokta soyad": at most four points in words
        first = start
        while first and end - first <= MAX_LOCAL and _is_local(text[first - 1]):
            first -= 1
        if first == start or end - first > MAX_LOCAL:
            return None
        start = first
        joint = _WORD_DOT_END.search(text, max(0, start - 12), start)
        if not joint or not joint.start() or not _is_local(text[joint.start() - 1]):
            break
        start = joint.start()
    while start < end and text[start] in ".-+%":
        start += 1
    if start == end or (start and text[start - 1] in "@＠"):
        return None
    return start


def _is_local(char: str) -> bool:
    return char.isalnum() or char in "._%+-\u0307．＿－＋"


def _domain_end(text: str, start: int, is_plain: bool) -> tuple[int | None, bool]:
    """End of the longest domain with a known last part, and whether a point of it is a word."""
    part = plain(text[start : start + 320])
    match = _DOMAIN.match(part) if is_plain else None
    is_word = match is None
    match = match or _WORD_DOMAIN.match(part)
    if not match:
        return None, False
    dots = list(_DOT.finditer(match.group()))
    known = _TOP_LEVEL if not is_word else _SURE_TOP_LEVEL
    for index in range(len(dots) - 1, -1, -1):
        stop = dots[index + 1].start() if index + 1 < len(dots) else match.end()
        last = part[dots[index].end() : stop].rstrip("_-")
        is_sentence = last[:1].isupper() and last[1:].islower() and part[0].islower()
        if last.translate(_FOLD).lower() in known and not is_sentence:
            has_word_dot = any(dot.group() != "." for dot in dots[: index + 1])
            return start + dots[index].end() + len(last), has_word_dot
    return None, False


def _is_part_of_page(text: str, start: int, end: int) -> bool:
    """Whether it is user and host of https://user@host, or of a remote path user@host:path."""
    return bool(
        _PAGE_BEFORE.search(text, max(0, start - 80), start) or _PATH_AFTER.match(text, end)
    )
