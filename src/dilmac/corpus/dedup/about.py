"""Id, source and beginning of each document by its number, without loading them all."""

from __future__ import annotations

import mmap
import shutil
from typing import Any

import numpy as np
import orjson

from dilmac.core import written_whole
from dilmac.corpus.document import Document
from dilmac.corpus.run.workfolder import WorkFolder
from dilmac.corpus.steps.personal import without_personal_data

BEGINNING_CHARS = 160


def write_about(work: WorkFolder, part: str, documents: list[Document]) -> None:
    """Write the lines of a part, and where each ends."""
    ends = np.zeros(len(documents), dtype=np.int64)
    with written_whole(work.file("clean", part, "about.jsonl")) as file:
        for place, document in enumerate(documents):
            beginning = without_personal_data(document.text[: 2 * BEGINNING_CHARS])
            beginning = " ".join(beginning.split())[:BEGINNING_CHARS]
            value = {"id": document.id, "source": document.source, "beginning": beginning}
            file.write(orjson.dumps(value) + b"\n")
            ends[place] = file.tell()
    with written_whole(work.file("clean", part, "about.npy")) as file:
        np.save(file, ends)


def join_about(work: WorkFolder) -> None:
    """Put the lines of all parts into one file, in the order of the documents' numbers."""
    ends_path = work.path / "about.ends"
    with (
        written_whole(work.path / "about.jsonl") as lines,
        written_whole(ends_path) as ends,
    ):
        for part in work.parts():
            (np.load(work.file("clean", part, "about.npy")) + lines.tell()).tofile(ends)
            with work.file("clean", part, "about.jsonl").open("rb") as file:
                shutil.copyfileobj(file, lines, 1 << 20)


class About:
    """`about[number]` is `{"id", "source", "beginning"}` of a document."""

    def __init__(self, work: WorkFolder):
        self._lines = (work.path / "about.jsonl").open("rb")
        self._ends = np.memmap(work.path / "about.ends", dtype=np.int64, mode="r")
        self._map = mmap.mmap(self._lines.fileno(), 0, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """Let the files go."""
        self._map.close()
        self._lines.close()

    def __getitem__(self, number: int) -> dict[str, Any]:
        start = int(self._ends[number - 1]) if number else 0
        value: dict[str, Any] = orjson.loads(self._map[start : int(self._ends[number])])
        return value
