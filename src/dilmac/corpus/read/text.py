"""Plain text files into documents: paragraphs (CC100's form), lines, or the whole file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from dilmac.core import Line, read_blocks, read_lines
from dilmac.corpus.document import MAX_DOCUMENT_CHARS, Document, Reject
from dilmac.corpus.read.decode import decode, has_controls, is_binary, show

MAX_DOCUMENT_BYTES = MAX_DOCUMENT_CHARS  # a longer paragraph is cut there, and goes on
SNIFFED_BYTES = 64 << 10  # of a file, that tell whether it is text at all
SHOWN_BYTES = 1000  # of what is binary
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, source: str, unit: str) -> Iterator[Document | Reject]:
    """Documents of a text file; lines that are no UTF-8 are read as Turkish Windows (cp1254).

    A file that begins like no text is one reject, a line of that kind in a text file another.
    """
    beginning = next(read_blocks(path), b"")[:SNIFFED_BYTES]
    if is_binary(beginning) and not beginning.startswith(_UTF16):
        yield Reject(path.name, show(beginning, SHOWN_BYTES), source, "binary")
        return
    lines, size = list[Line](), 0
    for line in read_lines(path):
        data = line.data
        if data is None:
            yield Reject(f"{path.name}:{line.number}", "", source, "line_too_long")
            continue
        is_blank = not data or data.isspace()
        is_end = unit == "lines" or (unit == "paragraphs" and is_blank)
        if lines and (is_end or size + len(data) > MAX_DOCUMENT_BYTES):
            yield from _documents(lines, path.name, source)
            lines, size = [], 0
        if lines or not is_blank:
            lines.append(line)
            size += len(data)
    yield from _documents(lines, path.name, source)


def _documents(lines: list[Line], name: str, source: str) -> Iterator[Document | Reject]:
    """The document of these lines. Line by line only where the whole is no clean UTF-8."""
    data = b"\n".join([line.data or b"" for line in lines])
    if not has_controls(data):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            if text and not text.isspace():
                yield Document(f"{name}:{lines[0].number}", text, source)
            return
    parts, start = list[str](), 0
    for line in lines:
        if is_binary(line.data or b""):
            shown = show(line.data or b"", SHOWN_BYTES)
            yield Reject(f"{name}:{line.number}", shown, source, "binary")
            continue
        start = start or line.number
        parts.append(decode(line.data or b""))
    if "".join(parts).strip():
        yield Document(f"{name}:{start}", "\n".join(parts), source)
