"""Plain text files into documents: paragraphs (CC100's form), lines, or the whole file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dilmac.core import read_lines
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read.records import checked

MAX_DOCUMENT_CHARS = 16 << 20  # a longer paragraph is cut there, and goes on
# Bytes below the space that text has: tab, line feed, form feed, carriage return, escape.
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27})
MAX_CONTROL_SHARE = 0.02  # of a line's bytes; more is no text


def read_text(path: Path, source: str, unit: str) -> Iterator[Document | Reject]:
    """Documents of a text file; lines that are no UTF-8 are read as Turkish Windows (cp1254)."""
    start, parts, size = 1, list[str](), 0
    for line in read_lines(path):
        if line.data is None or _is_binary(line.data):
            reason = "line_too_long" if line.data is None else "binary"
            shown = (line.data or b"")[:1000].decode("utf-8", "backslashreplace")
            yield Reject(f"{path.name}:{line.number}", shown, source, reason)
            continue
        if not line.data and not parts:
            continue
        text = _decode(line.data)
        is_end = unit == "lines" or (unit == "paragraphs" and not text.strip())
        if parts and (is_end or size + len(text) > MAX_DOCUMENT_CHARS):
            yield checked(Document(f"{path.name}:{start}", "\n".join(parts), source))
            parts, size = [], 0
        if text.strip() or parts:
            if not parts:
                start = line.number
            parts.append(text)
            size += len(text)
    if parts:
        yield checked(Document(f"{path.name}:{start}", "\n".join(parts), source))


def _is_binary(data: bytes) -> bool:
    if b"\0" not in data and data.isascii() and data.decode("ascii").isprintable():
        return False
    num_controls = len(data) - len(data.translate(None, _CONTROLS))
    return num_controls > MAX_CONTROL_SHARE * len(data)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # Turkish Windows' own encoding; it maps every byte but seven, and what is not Turkish
        # afterwards is rejected by the language step.
        return data.decode("cp1254", "replace")
