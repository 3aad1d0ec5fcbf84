"""Records of JSONL and Parquet files into documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from dilmac.core import InputError, read_lines, read_table
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.document import Document, Reject

Record = tuple[str, dict[str, Any]]  # where it stands, and its fields


def read_records(
    path: Path, kind: str, source: str, config: CorpusConfig
) -> Iterator[Document | Reject]:
    """Documents of a JSONL or Parquet file.

    Raises:
        InputError: the file is damaged, or its first record has no text field.
    """
    records = _json_records(path, source) if kind == "jsonl" else _table_records(path, config)
    yield from documents_of(records, source, config)


def documents_of(
    records: Iterable[Record | Reject], source: str, config: CorpusConfig
) -> Iterator[Document | Reject]:
    """Documents of records, by the fields that the settings name.

    Raises:
        InputError: the first record has no text field.
    """
    is_first = True
    for record in records:
        if isinstance(record, Reject):
            yield record
            continue
        where, values = record
        text = values.get(config.text_field)
        named = values.get(config.source_field) if config.source_field else None
        own_source = _source_name(named) if named else source
        if isinstance(text, str):
            name = values.get("id")
            identity = where if name is None else str(name)
            yield checked(Document(identity, text, own_source))
        elif is_first and config.text_field not in values:
            raise InputError(
                f"no field {config.text_field!r}",
                where=where,
                mend=f"give --text-field; fields there: {', '.join(map(str, values))}",
            )
        else:
            yield Reject(where, json.dumps(values, default=str), own_source, "no_text_field")
        is_first = False


def checked(document: Document) -> Document | Reject:
    """The document, or a reject where it cannot be written as UTF-8."""
    try:
        document.text.encode("utf-8")
    except UnicodeEncodeError:
        return Reject(document.id, document.text, document.source, "lone_surrogate")
    return document


def _source_name(value: Any) -> str:
    """A URL's host, or the value as it is."""
    name = str(value)
    if "://" in name[:12]:
        return urlsplit(name).hostname or name
    return name


def _json_records(path: Path, source: str) -> Iterator[Record | Reject]:
    for line in read_lines(path):
        where = f"{path.name}:{line.number}"
        if line.data is None:
            yield Reject(where, "", source, "line_too_long")
            continue
        try:
            values = orjson.loads(line.data)
        except orjson.JSONDecodeError:
            if not line.data.strip():
                continue
            # The standard parser also takes NaN and lone surrogates, and says what is wrong.
            values = _parse(line.data)
        if isinstance(values, dict):
            yield where, values
        elif isinstance(values, Bad):
            shown = line.data.decode("utf-8", "backslashreplace")
            yield Reject(where, shown, source, values.reason)
        else:
            yield Reject(where, json.dumps(values), source, "no_json_object")


class Bad:
    """Why a line is no record."""

    def __init__(self, reason: str):
        self.reason = reason


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except UnicodeDecodeError:
        return Bad("bad_utf8")
    except (ValueError, RecursionError):
        return Bad("bad_json")


def _table_records(path: Path, config: CorpusConfig) -> Iterator[Record]:
    wanted = [config.text_field, *([config.source_field] if config.source_field else [])]
    for number, values in read_table(path, wanted, optional=["id"]):
        yield f"{path.name}:{number}", values
