"""Texts to measure on, read strictly: what is wrong is an error with its file and line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from dilmac.core.errors import InputError
from dilmac.core.files import expand_inputs, file_format, read_lines, read_table


def read_measured_texts(
    patterns: Iterable[str | Path], text_field: str = "text", max_bytes: int | None = None
) -> Iterator[str]:
    """Texts of files in order, up to `max_bytes` of UTF-8: JSONL and parquet records, or the
    paragraphs (up to an empty line) of a text file.

    Raises:
        InputError: a file is missing, damaged or empty; a line is no JSON or has no text.
    """
    for document in read_measured_documents(patterns, text_field, max_bytes):
        yield str(document[text_field])


def read_measured_documents(
    patterns: Iterable[str | Path],
    text_field: str = "text",
    max_bytes: int | None = None,
    *,
    optional: Iterable[str] = (),
) -> Iterator[dict[str, object]]:
    """The same with the `optional` fields of each record that are there.

    Raises:
        InputError: see `read_measured_texts`.
    """
    left = max_bytes
    for path in expand_inputs(patterns):
        num_texts = 0
        for document in _documents_of(path, text_field, tuple(optional)):
            num_texts += 1
            if left is not None:
                left -= len(str(document[text_field]).encode())
                if left < 0:
                    return
            yield document
        if not num_texts:
            raise InputError("holds no text", where=path)


def read_records(patterns: Iterable[str | Path]) -> Iterator[dict[str, object]]:
    """Whole records of JSONL and parquet files, in order; a paragraph of a text file is
    `{"text": …}`.

    Raises:
        InputError: a file is missing or damaged; a line is no JSON object.
    """
    for path in expand_inputs(patterns):
        kind = file_format(path)
        if kind == "parquet":
            yield from (values for _, values in read_table(path))
        elif kind == "jsonl":
            for line in read_lines(path):
                if line.data is None or line.data.strip():
                    yield json_object(line.data, f"{path}:{line.number}")
        else:
            for text in _paragraphs(path):
                yield {"text": text}


def _documents_of(
    path: Path, text_field: str, optional: tuple[str, ...]
) -> Iterator[dict[str, object]]:
    kind = file_format(path)
    if kind == "parquet":
        for number, values in read_table(path, [text_field], optional=optional):
            _check(values[text_field], f"{path}:{number}", [text_field])
            yield values
    elif kind == "jsonl":
        for line in read_lines(path):
            where = f"{path}:{line.number}"
            if line.data is None or line.data.strip():
                values = json_object(line.data, where)
                _check(values.get(text_field), where, list(values))
                yield {name: values[name] for name in (text_field, *optional) if name in values}
    else:
        for text in _paragraphs(path):
            yield {text_field: text}


def json_object(data: bytes | None, where: str) -> dict[str, object]:
    """The object on a line of JSONL; `where` is its file and line.

    Raises:
        InputError: it is no JSON object.
    """
    try:
        values = json.loads(data) if data is not None else None
    except (ValueError, RecursionError) as error:
        raise InputError(f"no JSON ({error})", where=where) from error
    if not isinstance(values, dict):
        raise InputError("no JSON object", where=where)
    return values


def _check(text: object, where: str, fields: list[str]) -> None:
    if not isinstance(text, str):
        raise InputError("no text", where=where, mend=f"fields there: {', '.join(fields)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"a lone surrogate at character {error.start}", where=where) from error


def _paragraphs(path: Path) -> Iterator[str]:
    parts: list[str] = []
    for line in read_lines(path):
        try:
            text = (line.data or b"").decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"no UTF-8 ({error.reason})",
                where=f"{path}:{line.number}",
                mend="`dilmac corpus build` reads and repairs other encodings",
            ) from error
        if text.strip():
            parts.append(text)
        elif parts:
            yield "\n".join(parts)
            parts = []
    if parts:
        yield "\n".join(parts)
