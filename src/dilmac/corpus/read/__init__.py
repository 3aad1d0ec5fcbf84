"""Inputs into documents, streamed. What cannot be one becomes a reject, never a silent skip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dilmac.core import FORMATS, InputRecord, expand_inputs, file_format, input_record
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read.hub import HUB, read_hub, record_hub
from dilmac.corpus.read.records import read_records
from dilmac.corpus.read.text import read_text
from dilmac.corpus.read.web import read_page, read_warc

__all__ = ["Source", "find_sources", "read_source"]

CORPUS_FORMATS = FORMATS | {"html": (".html", ".htm"), "warc": (".warc",)}


@dataclass(frozen=True)
class Source:
    """One file, or one dataset on a hub."""

    place: str

    @property
    def is_hub(self) -> bool:
        """Whether it is a dataset and no file."""
        return self.place.startswith(HUB)

    @property
    def name(self) -> str:
        """Name of the source in the report: the file's name up to its first suffix."""
        if self.is_hub:
            return self.place.removeprefix(HUB).split("?")[0]
        return Path(self.place).name.split(".")[0] or self.place

    def identity(self) -> InputRecord:
        """What stands in `artifact.json`."""
        return record_hub(self.place) if self.is_hub else input_record(Path(self.place))


def find_sources(config: CorpusConfig) -> list[Source]:
    """Sources behind the inputs, in a stable order.

    Raises:
        InputError: an input is missing, or no reader knows it.
    """
    sources = []
    for pattern in config.inputs:
        if pattern.startswith(HUB):
            sources.append(Source(pattern))
    files = [pattern for pattern in config.inputs if not pattern.startswith(HUB)]
    if files:
        sources += [Source(str(path)) for path in expand_inputs(files, CORPUS_FORMATS)]
    return sources


def read_source(source: Source, config: CorpusConfig) -> Iterator[Document | Reject]:
    """Documents of one source.

    Raises:
        InputError: it is missing or damaged, or its first record has no text field.
    """
    if source.is_hub:
        yield from read_hub(source.place, source.name, config)
        return
    path = Path(source.place)
    kind = file_format(path, CORPUS_FORMATS)
    if kind == "text":
        yield from read_text(path, source.name, config.documents)
    elif kind == "html":
        yield read_page(path, source.name)
    elif kind == "warc":
        yield from read_warc(path)
    else:
        yield from read_records(path, kind, source.name, config)
