"""`dilmac classify predict`: texts to labels with their probabilities, streamed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dilmac.core import (
    ConfigError,
    Figures,
    InputError,
    expand_inputs,
    file_format,
    json_object,
    read_lines,
    read_table,
)
from dilmac.evaluate import Classifier
from dilmac.training.classify.config import PredictConfig
from dilmac.training.precision import training_device

BATCHES_AT_ONCE = 8  # sorted by length among themselves


def classify_predict(config: PredictConfig) -> Iterator[Figures]:
    """For each text `{"text", "label", "probabilities"}`, and `"id"` where its record has one.

    Raises:
        ConfigError: texts and a file are given.
        InputError: the classifier or a text cannot be read; the error names its file and line.
    """
    if config.text and config.file:
        raise ConfigError("goes without texts on the command line", where="--file")
    classifier = Classifier(config.model, training_device())
    texts = iter(_texts(config))
    while batch := list(islice(texts, config.batch_size * BATCHES_AT_ONCE)):
        found = classifier.probabilities([text["text"] for text in batch], config.batch_size)
        for text, row in zip(batch, found, strict=True):
            shares = {
                label: round(float(share), 6)
                for label, share in zip(classifier.labels, row, strict=True)
            }
            yield {**text, "label": classifier.labels[int(row.argmax())], "probabilities": shares}


def _texts(config: PredictConfig) -> Iterator[Figures]:
    if config.text:
        for number, text in enumerate(config.text, start=1):
            yield _checked({"text": text}, f"text {number}", "text")
    elif config.file is None:
        yield from _lines(sys.stdin, "standard input")
    else:
        for path in expand_inputs([config.file]):
            yield from _of_file(path, config.text_field)


def _of_file(path: Path, field: str) -> Iterator[Figures]:
    kind = file_format(path)
    if kind == "parquet":
        for number, values in read_table(path, [field], optional=["id"]):
            yield _checked(values, f"{path}:{number}", field)
        return
    for line in read_lines(path):
        where = f"{path}:{line.number}"
        if line.data is not None and not line.data.strip():
            continue
        if kind == "jsonl":
            yield _checked(json_object(line.data, where), where, field)
        else:
            try:
                yield _checked({field: (line.data or b"").decode()}, where, field)
            except UnicodeDecodeError as error:
                raise InputError(f"no UTF-8 ({error.reason})", where=where) from error


def _lines(lines: Iterable[str], name: str) -> Iterator[Figures]:
    try:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _checked({"text": line.rstrip("\r\n")}, f"{name}:{number}", "text")
    except UnicodeDecodeError as error:
        raise InputError(
            f"no UTF-8 ({error.reason})", where=name, mend="give the text in UTF-8"
        ) from error


def _checked(values: dict[str, Any], where: str, field: str) -> Figures:
    """Text and id of a record."""
    text = values.get(field)
    if not isinstance(text, str) or not text.strip():
        found = "is missing" if field not in values else "is no text or empty"
        there = ", ".join(map(str, values))
        raise InputError(f"field {field!r} {found}", where=where, mend=f"fields there: {there}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("holds a lone surrogate", where=where, mend="give it in UTF-8") from error
    id = values.get("id")
    if id is None:
        return {"text": text}
    # A table's id may be a date, which JSON does not know; half a character cannot be shown.
    shown = id if isinstance(id, int) else str(id).encode(errors="replace").decode()
    return {"id": shown, "text": text}
