"""Records (JSONL, Parquet, datasets) into documents, by the fields that the settings name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from dilmac.core import InputError, read_lines, read_table, say
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.document import UNKNOWN_LICENSE, Document, Reject
from dilmac.corpus.read.decode import show

Record = tuple[str, dict[str, Any]]  # where it stands, and its fields
MAX_SOURCE_CHARS = 200  # of a source's name, which stands in every table
MAX_LICENSE_CHARS = 200  # of a license's name; what is longer is its text


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
    """Documents of records; `source` is the name where no field names one.

    Raises:
        InputError: the first record has no text field.
    """
    is_first = True
    for record in records:
        if isinstance(record, Reject):
            yield record
            continue
        where, values = record
        if is_first and config.text_field not in values:
            raise InputError(
                f"no field {config.text_field!r}",
                where=where,
                mend=f"give --text-field; fields there: {', '.join(map(str, values))}",
            )
        if is_first and config.source_field and config.source_field not in values:
            say(f"{where}: no field {config.source_field!r}; its documents' source is {source!r}")
        is_first = False
        text = values.get(config.text_field)
        named = values.get(config.source_field) if config.source_field else None
        own_source = source_name(named) if named else source
        if isinstance(text, str):
            name = values.get(config.id_field)
            document = Document(where if name is None else str(name), text, own_source)
            document.license = license_name(values.get(config.license_field))
            yield checked(document, where)
        elif isinstance(text, bytes):  # a column of strings that are no UTF-8
            yield Reject(where, show(text), own_source, "bad_utf8")
        else:
            yield Reject(where, _shown(values), own_source, "no_text_field")


def checked(document: Document, where: str) -> Document | Reject:
    """The document, or a reject where it cannot be written as UTF-8; a bad id becomes `where`."""
    if not _is_writable(document.id):
        document.id = where
    if _is_writable(document.text):
        return document
    return Reject(document.id, document.text, document.source, "lone_surrogate")


def source_name(value: Any) -> str:
    """A URL's host, or the value as it is."""
    name = str(value)
    if "://" in name[:12]:
        try:
            name = urlsplit(name).hostname or name
        except ValueError:  # `http://[`
            name = name.split("/")[2]
    return name[:MAX_SOURCE_CHARS].encode("utf-8", "replace").decode()


def license_name(value: Any) -> str:
    """The license that a record names: a text, or several in a list; `unknown` for all else."""
    names = value if isinstance(value, list) else [value]
    texts = [" ".join(name.split()) for name in names if isinstance(name, str)]
    license = ", ".join(filter(None, texts))[:MAX_LICENSE_CHARS]
    if license.casefold() in ("", UNKNOWN_LICENSE):
        return UNKNOWN_LICENSE
    return license.encode("utf-8", "replace").decode()


def _is_writable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json_records(path: Path, source: str) -> Iterator[Record | Reject]:
    place = f"{path.name}:"
    for number, data in read_lines(path):
        where = f"{place}{number}"
        if data is None:
            yield Reject(where, "", source, "line_too_long")
            continue
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            if not data or data.isspace():
                continue
            # The standard parser also takes NaN and lone surrogates, and says what is wrong.
            values = _parse(data)
        if isinstance(values, dict):
            yield where, values
        else:
            reason = values.reason if isinstance(values, _Bad) else "no_json_object"
            yield Reject(where, show(data), source, reason)


class _Bad:
    """Why a line is no record."""

    def __init__(self, reason: str):
        self.reason = reason


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _Bad("bad_utf8")
    except (ValueError, RecursionError):
        return _Bad("bad_json")


def _shown(values: dict[str, Any]) -> str:
    try:
        return json.dumps(values, default=str)
    except (TypeError, ValueError, RecursionError):  # keys that are no strings, endless nesting
        return str(list(map(str, values)))


def _table_records(path: Path, config: CorpusConfig) -> Iterator[Record]:
    also = [config.id_field, config.license_field]
    also += [config.source_field] if config.source_field else []
    for number, values in read_table(path, [config.text_field], optional=also):
        yield f"{path.name}:{number}", values
