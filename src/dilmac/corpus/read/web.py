"""HTML pages and WARC archives into documents: the main text, without what is around it.

Source: trafilatura (Barbaresi 2021, ACL demo); `favor_recall` by measurement, see
`benchmarks/corpus_quality.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dilmac.core import InputError, MissingDependencyError, read_blocks
from dilmac.corpus.document import Document, Reject

# What calls itself Latin-1 or Latin-5 is read by the Windows tables.
_AS_BROWSERS_DO = {"iso-8859-1": "cp1252", "iso-8859-9": "cp1254"}
MAX_PAGE_BYTES = 16 << 20  # a longer page is no article
_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?(?:<!doctype html|<html)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)


def is_html_page(text: str) -> bool:
    """Whether a text is a whole HTML page."""
    return "<" in text[:200] and _PAGE.match(text[:2000]) is not None


def extract_main_text(page: str) -> str | None:
    """The main text of a page, or None where it has none.

    Raises:
        MissingDependencyError: trafilatura is not installed.
    """
    try:
        import trafilatura
    except ImportError as error:
        raise MissingDependencyError(
            "needs trafilatura", where="HTML pages", mend="pip install 'dilmac[web]'"
        ) from error
    text: str | None = trafilatura.extract(
        page, include_comments=False, include_tables=True, favor_recall=True
    )
    return text


def read_page(path: Path, source: str) -> Document | Reject:
    """The document of one HTML file."""
    data, size = [], 0
    for block in read_blocks(path):
        data.append(block)
        size += len(block)
        if size > MAX_PAGE_BYTES:
            return Reject(path.name, "", source, "line_too_long")
    return _document(path.name, decode_page(b"".join(data)), source)


def read_warc(path: Path) -> Iterator[Document | Reject]:
    """Documents of the HTML responses of a WARC archive, plain or gzip.

    Raises:
        InputError: the archive is damaged or ends too early.
        MissingDependencyError: warcio is not installed.
    """
    try:
        from warcio.archiveiterator import ArchiveIterator
        from warcio.exceptions import ArchiveLoadFailed
    except ImportError as error:
        raise MissingDependencyError(
            "needs warcio", where=path, mend="pip install 'dilmac[web]'"
        ) from error
    _check_whole(path)
    with path.open("rb") as file:
        try:
            for record in ArchiveIterator(file):
                if document := _warc_document(record):
                    yield document
        except (ArchiveLoadFailed, EOFError, ValueError, OSError) as error:
            raise InputError(
                f"no readable WARC ({error})", where=path, mend="fetch the archive again"
            ) from error


def _check_whole(path: Path) -> None:
    """warcio takes a cut-off gzip member for the end; reading it once tells."""
    for _ in read_blocks(path):
        pass


def _warc_document(record: Any) -> Document | Reject | None:
    if record.rec_type != "response" or record.http_headers is None:
        return None
    kind = record.http_headers.get_header("Content-Type") or ""
    if "html" not in kind.lower():
        return None
    url = record.rec_headers.get_header("WARC-Target-URI") or "?"
    source = urlsplit(url).hostname or url
    data = record.content_stream().read(MAX_PAGE_BYTES + 1)
    if len(data) > MAX_PAGE_BYTES:
        return Reject(url, "", source, "line_too_long")
    return _document(url, decode_page(data, kind), source)


def _document(identity: str, page: str, source: str) -> Document | Reject:
    text = extract_main_text(page)
    if not text:
        return Reject(identity, page[:10_000], source, "no_main_text")
    return Document(identity, text, source)


def decode_page(data: bytes, content_type: str = "") -> str:
    """Text of a page by its header, its own `charset`, UTF-8, or Turkish Windows, in this order."""
    named = _CHARSET.search(content_type.encode("latin-1", "replace")) or _CHARSET.search(
        data[:4096]
    )
    names = [named[1].decode("ascii")] if named else []
    for name in [*names, "utf-8"]:
        try:
            return data.decode(_AS_BROWSERS_DO.get(name.lower(), name))
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("cp1254", "replace")
