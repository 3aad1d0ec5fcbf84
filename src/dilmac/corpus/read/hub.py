"""Datasets of the Hugging Face hub, streamed: `hf://NAME?config=…&split=…&revision=…`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dilmac.core import InputError, InputRecord, input_record
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read.records import documents_of

HUB = "hf://"
_OPTIONS = ("config", "split", "revision")


def read_hub(place: str, source: str, config: CorpusConfig) -> Iterator[Document | Reject]:
    """Documents of a dataset, a batch in memory at a time; a local folder of one works, too.

    Raises:
        InputError: there is no such dataset, configuration or split, or the hub cannot be reached.
    """
    name, options = parse_place(place)
    try:
        rows = _open(name, options)
        records = ((f"{source}:{number}", row) for number, row in enumerate(rows, start=1))
        yield from documents_of(records, source, config)
    except InputError:
        raise
    except Exception as error:  # the library raises dozens of kinds, with requests' and fsspec's
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"cannot be read ({text})",
            where=place,
            mend="check name, config and split; without network give a local folder's path",
        ) from error


def parse_place(place: str) -> tuple[str, dict[str, str]]:
    """Name (or folder) and options of `hf://…`.

    Raises:
        InputError: an option is unknown, or there is no name.
    """
    parts = urlsplit(place)
    name = f"{parts.netloc}{parts.path}"
    options = dict(parse_qsl(parts.query))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown or not name:
        raise InputError(
            f"unknown option {unknown[0]!r}" if unknown else "no name",
            where=place,
            mend="hf://NAME?config=…&split=…&revision=…",
        )
    return name, options


def record_hub(place: str) -> InputRecord:
    """What stands in `artifact.json`: of a local folder its content, of a hub's dataset its name.

    A dataset without `revision` can change under the same name.
    """
    name, options = parse_place(place)
    if Path(name).is_dir():
        folder = input_record(Path(name))
        digest = hashlib.sha256(f"{folder.sha256}{sorted(options.items())}".encode()).hexdigest()
        return InputRecord(name=Path(name).name, sha256=digest, num_bytes=folder.num_bytes)
    return InputRecord(name=place, sha256=hashlib.sha256(place.encode()).hexdigest(), num_bytes=0)


def _open(name: str, options: dict[str, str]) -> Any:
    import datasets

    return datasets.load_dataset(
        name,
        options.get("config"),
        split=options.get("split", "train"),
        revision=options.get("revision"),
        streaming=True,
    )
