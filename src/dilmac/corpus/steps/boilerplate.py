"""Lines that a web page puts around its text: cookie banners, menus, sharing and copyright lines.

Two ways, both at the edges of a document only, where pages put such lines and authors do not:
known wordings, and lines that stand at the edges of many documents of a source (the idea of
Pomikálek 2011, "Removing Boilerplate", of looking beyond one page).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import xxhash
from numpy.typing import NDArray

from dilmac.corpus.document import Document
from dilmac.turkish import lower

EDGE_LINES = 6  # lines with text, from either end of a document, that can be boilerplate
MIN_DOCUMENTS = 10  # a line in fewer documents of a source is no template
MIN_SHARE = 0.2  # of the source's documents that have the line at an edge [0-1]
MAX_COUNTED_LINES = 4_000_000  # of a corpus; of a larger one every n-th part is looked at: 200 MB

# All patterns look at lines in Turkish lower case.
_COOKIE = re.compile(r"çerez|cookie|kişisel veriler")
_CONSENT = re.compile(
    r"kabul et|reddet|politikamız|sitemiz|\bbu (web )?sitesi|size daha iyi|deneyiminiz|"
    r"\baccept\b|tamam\s*$"
)
_BREADCRUMB = re.compile(r"^\W*(?:ana ?sayfa|home)\s*[>»/›|→]+\s*\S.{0,120}$")
_COPYRIGHT = re.compile(
    r"(?:©|\(c\)|copyright).{0,80}(?:saklıdır|reserved)"
    r"|^\W*tüm hakları (?:saklı|mahfuz)dır\W*$"
)
_MENU_WORDS = (
    r"facebook|twitter|whatsapp|instagram|youtube|telegram|linkedin|pinterest|paylaş|yorum yap|"
    r"abone ol|ilgili haberler|devamını oku|üye ol|giriş yap|yazdır|tweetle|beğen|"
    r"ana ?sayfa|iletişim|hakkımızda|gizlilik(?: politikası)?|kullanım koşulları|künye|"
    r"site haritası|son dakika|arşiv|kategoriler|etiketler|önceki(?: yazı| haber)?|"
    r"sonraki(?: yazı| haber)?|e-?bülten|takip et"
)
_MENU = re.compile(rf"(?<!\w)(?:{_MENU_WORDS})(?!\w)")
_SEPARATOR = re.compile(r"[|»›•·>]|\s{3,}|\t")
MAX_LINE_CHARS = 400


def is_boilerplate(line: str) -> bool:
    """Whether a line by its wording belongs to a page and not to its text."""
    if len(line) > MAX_LINE_CHARS:
        return False
    line = lower(line.strip())
    if _COOKIE.search(line) and len(_CONSENT.findall(line)) >= 2:
        return True
    if _BREADCRUMB.search(line) or _COPYRIGHT.search(line):
        return True
    return _is_menu(line)


def _is_menu(line: str) -> bool:
    """Three or more menu words that make up most of the line, or two with separators."""
    words = _MENU.findall(line)
    if len(words) < 2:
        return False
    rest = _MENU.sub(" ", line)
    num_other = sum(map(str.isalpha, rest))
    num_menu = sum(map(len, words))
    return num_other < num_menu / 2 and (len(words) >= 3 or bool(_SEPARATOR.search(line)))


def strip_boilerplate(text: str) -> tuple[str, list[str]]:
    """The text without boilerplate lines at its edges, and those lines."""
    lines = text.split("\n")
    gone = {place for place in _edge_places(lines) if is_boilerplate(lines[place])}
    return _without(text, lines, gone)


def _without(text: str, lines: list[str], gone: set[int]) -> tuple[str, list[str]]:
    if not gone:
        return text, []
    kept = "\n".join(line for place, line in enumerate(lines) if place not in gone)
    return kept.strip("\n"), [lines[place] for place in sorted(gone)]


def _edge_places(lines: list[str]) -> list[int]:
    """Places of the first and last lines that hold text."""
    first, last = list[int](), list[int]()
    for places, order in ((first, range(len(lines))), (last, range(len(lines) - 1, -1, -1))):
        for place in order:
            if lines[place].strip():
                places.append(place)
                if len(places) == EDGE_LINES:
                    break
    return [*first, *reversed(last)]


def line_key(line: str, source: str) -> int:
    """64-bit hash of a line of a source."""
    return xxhash.xxh3_64_intdigest(f"{source}\0{line.strip()}".encode())


def edge_line_hashes(documents: Iterable[Document]) -> NDArray[np.uint64]:
    """Rows of (source, line) hashes of the lines at each document's edges [lines, 2]."""
    rows = [
        (xxhash.xxh3_64_intdigest(document.source.encode()), key)
        for document in documents
        for key in {
            line_key(lines[place], document.source)
            for lines in (document.text.split("\n"),)
            for place in _edge_places(lines)
        }
    ]
    return np.array(rows, dtype=np.uint64).reshape(-1, 2)


def repeated_lines(rows: NDArray[np.uint64], documents_of_source: dict[str, int]) -> frozenset[int]:
    """Keys of the lines that are a template of their source."""
    limit_of = {
        xxhash.xxh3_64_intdigest(source.encode()): max(MIN_DOCUMENTS, MIN_SHARE * count)
        for source, count in documents_of_source.items()
    }
    keys, first, counts = np.unique(rows[:, 1], return_index=True, return_counts=True)
    often = np.flatnonzero(counts >= MIN_DOCUMENTS)
    return frozenset(
        int(keys[place]) for place in often if counts[place] >= limit_of[int(rows[first[place], 0])]
    )


def strip_repeated(text: str, source: str, repeated: frozenset[int]) -> tuple[str, list[str]]:
    """The text without its source's template lines at its edges, and those lines."""
    if not repeated:
        return text, []
    lines = text.split("\n")
    places = _edge_places(lines)
    gone = {place for place in places if line_key(lines[place], source) in repeated}
    kept, lines = _without(text, lines, gone)
    return (kept, lines) if kept.strip() else (text, [])  # a text is more than its template
