"""HTML pages and WARC archives into documents: the main text, without what is around it.

Source: trafilatura (Barbaresi 2021, ACL demo). `tests/corpus/test_read_web.py` holds it to the
pages of `tr-raw-messy`: 97.1 % of the reference texts' words come back, and what is missing is
their titles; 5.3 % of the extracted words are not in the references, one line under every page
("Bir şeyler bu yazıda doğru ya da eksik değil mi? …"), which the boilerplate step finds. With
`favor_precision`, or with neither, 91.6 % come back, without tables 95.6 %; comments change
nothing there. With `<pre>` blocks 24 % of the words are not in the references: code.
"""

from __future__ import annotations

import codecs
import importlib.util
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dilmac.core import InputError, MissingDependencyError, read_blocks
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read.decode import decode, show
from dilmac.corpus.read.records import checked, source_name

# A page of 4 MiB of `<br>` takes 19 seconds and 1.3 GB; Common Crawl cut pages at 1 MiB for years.
MAX_PAGE_BYTES = 2 << 20
SHOWN_CHARS = 10_000  # of a page without main text
_BEGINNING_CHARS = 2000
_BEGINNING = re.compile(
    r"[\s\ufeff]*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!doctype\s+html|<html)[\s>]", re.I | re.S
)
_INSIDE = re.compile(r"<(?:head|body|title|meta|div|p)[\s>/]", re.I)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.I)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")  # lxml refuses a text with them
# lxml's time grows with the square of a tag's attributes: 7 seconds for a tag of 256 kB. A tag that
# long holds no text, but an image, a drawing, or malice.
_TAG = re.compile("<[A-Za-z]")
_LONG_TAG = re.compile(r"<[A-Za-z][^<>]{16384,}>?")
MAX_TAG_CHARS = 64 << 10


def is_html_page(text: str) -> bool:
    """Whether a text is a whole HTML page: it begins as one, and has elements of one."""
    if "<" not in text[:200]:
        return False
    return bool(_BEGINNING.match(text[:_BEGINNING_CHARS]) and _INSIDE.search(text))


def extract_main_text(page: str) -> str | None:
    """The main text of a page, or None where it has none.

    Raises:
        MissingDependencyError: trafilatura is not installed.
    """
    require_web("trafilatura")
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it warns of every poor page
    page = _LONG_TAG.sub(" ", _CONTROLS.sub("", page))
    if len(page) > MAX_PAGE_BYTES or _has_endless_tag(page):
        return None
    try:
        text: str | None = trafilatura.extract(
            page,
            favor_recall=True,
            include_tables=True,
            include_comments=False,
            prune_xpath=["//pre"],
        )
    except Exception:  # of a page that lxml or trafilatura stumbles over: it has no text for us
        return None
    return text or None


def _has_endless_tag(page: str) -> bool:
    """Whether a tag goes on and on through the beginnings of others."""
    for part in page.split(">"):
        if len(part) > MAX_TAG_CHARS and (tag := _TAG.search(part)):
            return len(part) - tag.start() > MAX_TAG_CHARS
    return False


def require_web(package: str, where: str | Path = "HTML pages") -> None:
    """See that a package of the extra `web` is there.

    Raises:
        MissingDependencyError: it is not.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(
            f"needs {package}", where=where, mend="pip install 'dilmac[web]'"
        )


def read_page(path: Path, source: str) -> Document | Reject:
    """The document of one HTML file.

    Raises:
        InputError: the file is missing or damaged.
        MissingDependencyError: trafilatura is not installed.
    """
    data = bytearray()
    for block in read_blocks(path):
        data += block
        if len(data) > MAX_PAGE_BYTES:
            return Reject(path.name, show(bytes(data), SHOWN_CHARS), source, "page_too_long")
    return _document(path.name, decode_page(bytes(data)), source)


def read_warc(path: Path) -> Iterator[Document | Reject]:
    """Documents of the HTML pages (responses with status 2xx) of a WARC archive, plain or packed.

    Raises:
        InputError: the archive is damaged or ends too early.
        MissingDependencyError: warcio or trafilatura is not installed.
    """
    require_web("warcio", path)
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    # Unpacked by us: warcio takes a gzip member that was cut off for the end of the archive.
    stream = io.BufferedReader(_Stream(read_blocks(path)))
    records = iter(ArchiveIterator(stream, no_record_parse=False))
    number = 0
    while True:
        try:
            record = next(records, None)
            number += 1
            document = None if record is None else _warc_document(record)
            if record is not None:
                _check_whole(record, path)
        except (ArchiveLoadFailed, EOFError, ValueError, OSError) as error:
            raise InputError(
                f"no readable WARC (record {number}: {error})",
                where=path,
                mend="fetch the archive again; `warcio check` tests it",
            ) from error
        if record is None:
            return
        if document:
            yield document


class _Stream(io.RawIOBase):
    """Blocks as a file."""

    def __init__(self, blocks: Iterator[bytes]):
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or memoryview(next(self._blocks, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _check_whole(record: Any, path: Path) -> None:
    """See that a record has as many bytes as it says; warcio takes what there is."""
    while record.raw_stream.read(1 << 16):
        pass
    if missing := getattr(record.raw_stream, "limit", 0):
        raise InputError(
            f"damaged or truncated ({missing:,} bytes of the last record are missing)", where=path
        )


def _warc_document(record: Any) -> Document | Reject | None:
    if record.rec_type != "response" or record.http_headers is None:
        return None
    kind = record.http_headers.get_header("Content-Type") or ""
    is_good = (record.http_headers.get_statuscode() or "").startswith("2")
    if not is_good or "html" not in kind.lower():
        return None
    url = (record.rec_headers.get_header("WARC-Target-URI") or "?").strip("<>")
    source = source_name(url)
    data = record.content_stream().read(MAX_PAGE_BYTES + 1)
    if len(data) > MAX_PAGE_BYTES:
        return Reject(url, show(bytes(data), SHOWN_CHARS), source, "page_too_long")
    return _document(url, decode_page(data, kind), source)


def _document(identity: str, page: str, source: str) -> Document | Reject:
    """A page as it is: reading takes 114 MB/s, its main text 3, so that is left to the workers."""
    return checked(Document(identity, page, source, is_page=True), source)


def open_page(page: Document) -> Document | Reject:
    """The document of a page's main text; any other document as it is.

    Raises:
        MissingDependencyError: trafilatura is not installed.
    """
    if not page.is_page and not is_html_page(page.text):
        return page
    text = extract_main_text(page.text)
    if not text:
        return Reject(page.id, page.text[:SHOWN_CHARS], page.source, "no_main_text")
    return Document(page.id, text, page.source, license=page.license)


def decode_page(data: bytes, content_type: str = "") -> str:
    """Text of a page: UTF-8 where it is valid, else by its header, its own `charset`, or guessed.

    What is valid UTF-8 with Turkish letters in it is nothing else, whatever the server says.
    """
    header, own = (
        _CHARSET.search(content_type.encode("latin-1", "replace")),
        _CHARSET.search(data[:4096]),
    )
    names = [_codec(found[1].decode("ascii")) for found in (header, own) if found]
    wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    for name in ["utf-16" if wide else "utf-8-sig", *filter(None, names)]:
        try:
            return data.decode(name)
        except UnicodeError:
            continue
    return decode(data)


def _codec(label: str) -> str | None:
    """Python's codec of a label, but for those that are no character sets (`punycode`, `hex`)."""
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    # Browsers read what calls itself Latin-1 or Latin-5 by the Windows tables.
    name = {"iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254"}.get(name, name)
    return name if name.startswith(("cp125", "iso8859", "koi8", "mac-", "utf-16")) else None
