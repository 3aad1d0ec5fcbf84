"""The folder of an unfinished corpus: what each part has become so far, so that a run can go on.

A part is some megabytes of consecutive documents. Each stage writes a part's files and then, last,
the part's `.json`: where that stands, the part is done for that stage.

    clean/NAME.docs.jsonl.zst      documents that came through the first steps
    clean/NAME.rejects.jsonl.zst   and those that did not
    clean/NAME.lines.npy           hashes of lines at their edges
    sketch/NAME.npz                what deduplication compares
    final/NAME.{train,heldout,rejects}.jsonl.zst
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import zstandard

from dilmac.core import InputError, read_lines, write_json
from dilmac.corpus.counts import Counts

Stage = str  # "clean", "sketch" or "final"
STAGES = ("clean", "sketch", "final")
SPILL_LEVEL = 1  # zstd: the files live as long as the run


@dataclass(frozen=True)
class WorkFolder:
    """Places of the parts' files."""

    path: Path

    def prepare(self) -> None:
        """Make the folders."""
        for stage in STAGES:
            (self.path / stage).mkdir(parents=True, exist_ok=True)

    def file(self, stage: Stage, part: str, ending: str) -> Path:
        """Path of one file of a part."""
        return self.path / stage / f"{part}.{ending}"

    def is_done(self, stage: Stage, part: str) -> bool:
        """Whether a stage has finished a part."""
        return self.file(stage, part, "json").is_file()

    def finish(self, stage: Stage, part: str, counts: Counts, **facts: Any) -> None:
        """Say that a part is done, with its counts."""
        write_json(self.file(stage, part, "json"), {"counts": counts.as_json(), **facts})

    def facts(self, stage: Stage, part: str) -> dict[str, Any]:
        """What was said when the part was finished."""
        values: dict[str, Any] = json.loads(self.file(stage, part, "json").read_bytes())
        return values

    def parts(self) -> list[str]:
        """Names of all parts, in the order of the input."""
        return sorted(path.name.removesuffix(".json") for path in self.path.glob("clean/*.json"))

    def counts(self) -> Counts:
        """Sums over all parts and stages."""
        total = Counts()
        for stage in STAGES:
            for part in self.parts():
                if self.is_done(stage, part):
                    total.add(Counts.from_json(self.facts(stage, part)["counts"]))
                    total.bound_sources()
        return total


class Spill:
    """Writes JSON lines quickly into a file that appears when it is whole."""

    def __init__(self, path: Path):
        self.path = path
        self.num_objects = 0
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = self._partial.open("wb")
        self._stream: Any = zstandard.ZstdCompressor(level=SPILL_LEVEL).stream_writer(self._file)

    def write(self, value: dict[str, Any]) -> None:
        """Write one object; lone surrogates (possible in rejects) are written escaped."""
        try:
            line = orjson.dumps(value)
        except TypeError:
            line = json.dumps(value).encode()
        self._stream.write(line + b"\n")
        self.num_objects += 1

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._stream.close()
        self._file.close()
        self._partial.replace(self.path)


def read_spill(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a spilled file."""
    for line in read_lines(path):
        if line.data is None:
            raise InputError("a line is too long", where=f"{path}:{line.number}")
        try:
            yield orjson.loads(line.data)
        except orjson.JSONDecodeError:
            yield json.loads(line.data)
