"""Files into documents. What cannot be a document becomes a reject, never a silent skip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilmac.core import InputError, Line, file_format, read_lines, read_table
from dilmac.corpus.config import CorpusConfig

MAX_DOCUMENT_CHARS = 16 << 20  # a longer paragraph of a text file is cut there, and goes on


@dataclass
class Document:
    """A text and where it came from."""

    id: str
    text: str
    source: str


@dataclass
class Reject:
    """What was not kept, and why. `text` is what was found, as far as it could be decoded."""

    id: str
    text: str
    source: str
    reason: str


def read_file(path: Path, config: CorpusConfig) -> Iterator[Document | Reject]:
    """Documents of one file, streamed.

    Raises:
        InputError: the file is missing, damaged, or its first record has no text field.
    """
    source = source_name(path)
    kind = file_format(path)
    if kind == "text":
        yield from _read_text(path, source, config.documents)
        return
    records = (
        _json_records(path, source) if kind == "jsonl" else _table_records(path, source, config)
    )
    first = True
    for record in records:
        if isinstance(record, Reject):
            yield record
            continue
        identity, values = record
        text = values.get(config.text_field)
        if isinstance(text, str):
            name = values.get("id")
            yield _checked(Document(str(name) if name is not None else identity, text, source))
        elif first:
            raise InputError(
                f"no text in field {config.text_field!r}",
                where=identity,
                mend=f"give --text-field; fields there: {', '.join(map(str, values))}",
            )
        else:
            yield Reject(identity, json.dumps(values, default=str), source, "no_text_field")
        first = False


def source_name(path: Path) -> str:
    """Name of a source: the file's name up to its first suffix."""
    return path.name.split(".")[0] or path.name


def _json_records(path: Path, source: str) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    for line in read_lines(path):
        identity = f"{path.name}:{line.number}"
        if line.data is None:
            yield Reject(identity, "", source, "line_too_long")
            continue
        if not line.data.strip():
            continue
        try:
            values = json.loads(line.data)
        except (ValueError, RecursionError):
            yield Reject(
                identity, line.data.decode("utf-8", "backslashreplace"), source, "bad_json"
            )
            continue
        if isinstance(values, dict):
            yield identity, values
        else:
            yield Reject(identity, json.dumps(values), source, "no_json_object")


def _table_records(
    path: Path, source: str, config: CorpusConfig
) -> Iterator[tuple[str, dict[str, Any]]]:
    del source
    for number, values in read_table(path, [config.text_field]):
        yield f"{path.name}:{number}", values


def _read_text(path: Path, source: str, unit: str) -> Iterator[Document | Reject]:
    start, parts, size = 1, list[str](), 0

    def flush() -> Iterator[Document | Reject]:
        if parts:
            yield _checked(Document(f"{path.name}:{start}", "\n".join(parts), source))

    for line in read_lines(path):
        if line.data is None:
            yield Reject(f"{path.name}:{line.number}", "", source, "line_too_long")
            continue
        text = _decode(line)
        is_end = unit == "lines" or (unit == "paragraphs" and not text.strip())
        if is_end or size + len(text) > MAX_DOCUMENT_CHARS:
            yield from flush()
            parts, size = [], 0
        if text.strip() or parts:
            if not parts:
                start = line.number
            parts.append(text)
            size += len(text)
    yield from flush()


def _decode(line: Line) -> str:
    data = line.data or b""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # Turkish Windows' own encoding; it maps every byte but seven, and what is not Turkish
        # afterwards is rejected by the language step.
        return data.decode("cp1254", "replace")


def _checked(document: Document) -> Document | Reject:
    try:
        document.text.encode("utf-8")
    except UnicodeEncodeError:
        return Reject(document.id, document.text, document.source, "lone_surrogate")
    return document
