"""Inputs into documents, streamed. What cannot be one becomes a reject, never a silent skip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dilmac.core import FORMATS, InputError, InputRecord, expand_inputs, file_format, input_record
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read.hub import HUB, name_of, pin, read_hub, record_hub
from dilmac.corpus.read.records import read_records
from dilmac.corpus.read.text import read_text
from dilmac.corpus.read.web import read_page, read_warc, require_web

__all__ = ["Source", "find_sources", "input_identity", "read_file", "read_source"]

CORPUS_FORMATS = FORMATS | {"html": (".html", ".htm"), "warc": (".warc",)}
WEB_PACKAGES = {"html": ("trafilatura",), "warc": ("trafilatura", "warcio")}


@dataclass(frozen=True)
class Source:
    """One file, or one dataset on a hub."""

    place: str

    @property
    def is_hub(self) -> bool:
        """Whether it is a dataset and no file."""
        return self.place.startswith(HUB)

    @property
    def kind(self) -> str:
        """`hub`, or the file's format: `text`, `jsonl`, `parquet`, `html`, `warc`."""
        return "hub" if self.is_hub else file_format(Path(self.place), CORPUS_FORMATS)

    @property
    def name(self) -> str:
        """Name of the source in the report: the file's name up to its first suffix."""
        if self.is_hub:
            return name_of(self.place)
        name = Path(self.place).name
        return name.split(".")[0] or name

    def identity(self) -> InputRecord:
        """What stands in `artifact.json`."""
        return input_identity(self)


def find_sources(config: CorpusConfig) -> list[Source]:
    """Sources behind the inputs, in the order of the inputs and each once.

    Raises:
        InputError: an input is missing, no reader knows it, or its name is no UTF-8.
        MissingDependencyError: a reader needs a package that is not there.
    """
    found: dict[str, Source] = {}  # by real path or by place
    for pattern in config.inputs:
        if pattern.startswith(HUB):
            place = pin(pattern)
            found.setdefault(place, Source(place))
            continue
        for path in expand_inputs([pattern], CORPUS_FORMATS):
            source = Source(str(path))
            _check(source)
            found.setdefault(str(path.resolve()), source)
    return list(found.values())


def _check(source: Source) -> None:
    """Say before the work begins what would end it later."""
    if not source.place.isprintable():
        raise InputError(
            "its name holds what cannot be written as text",
            where=ascii(source.place),
            mend="rename it",
        )
    for package in WEB_PACKAGES.get(source.kind, ()):
        require_web(package, source.place)


def input_identity(source: Source) -> InputRecord:
    """Name, content hash and size of a source, as they stand in `artifact.json`.

    Raises:
        InputError: nothing is there.
    """
    return record_hub(source.place) if source.is_hub else input_record(Path(source.place))


def read_source(source: Source, config: CorpusConfig) -> Iterator[Document | Reject]:
    """Documents of one source.

    Raises:
        InputError: it is missing or damaged, or its first record has no text field.
    """
    path, kind = Path(source.place), source.kind
    if kind == "hub":
        yield from read_hub(source.place, source.name, config)
    elif kind == "text":
        yield from read_text(path, source.name, config.documents)
    elif kind == "html":
        yield read_page(path, source.name)
    elif kind == "warc":
        yield from read_warc(path)
    else:
        yield from read_records(path, kind, source.name, config)


def read_file(path: Path, config: CorpusConfig) -> Iterator[Document | Reject]:
    """Documents of one file; see `read_source`."""
    yield from read_source(Source(str(path)), config)
