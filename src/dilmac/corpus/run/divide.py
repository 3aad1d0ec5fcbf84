"""The input as parts: the same ones, by the same names, whoever works on them and however many.

Consecutive sources make a group, consecutive documents of a group a part. Groups are what machines
of a cluster divide among themselves: none has to read what another works on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read import Source, read_source

GROUP_BYTES = 64 << 20  # of files, as they lie on the disk; a larger file is a group by itself
PART_CHARACTERS = 4 << 20  # of text; what a worker holds is about ten times that

Part = tuple[str, list[Document | Reject]]  # name and records
Groups = Sequence[Sequence[Source]]


def group_sources(sources: Iterable[Source]) -> list[list[Source]]:
    """Consecutive sources together until they are `GROUP_BYTES`."""
    groups: list[list[Source]] = []
    room = 0
    for source in sources:
        size = GROUP_BYTES if source.is_hub else Path(source.place).stat().st_size
        if not groups or size > room:
            groups.append([])
            room = GROUP_BYTES
        groups[-1].append(source)
        room -= size
    return groups


def read_parts(groups: Groups, numbers: Iterable[int], config: CorpusConfig) -> Iterator[Part]:
    """Parts of the groups of these numbers, in order."""
    for number in numbers:
        records = (record for source in groups[number] for record in read_source(source, config))
        for place, part in enumerate(_divide(records)):
            yield f"{number:05d}-{place:07d}", part


def _divide(records: Iterable[Document | Reject]) -> Iterator[list[Document | Reject]]:
    part: list[Document | Reject] = []
    size = 0
    for record in records:
        part.append(record)
        size += len(record.text) + 64
        if size >= PART_CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part
