"""Finished parts into the files of the corpus, in order: shards, rejects, one text on request."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson

from dilmac.core import JsonlWriter, Line, ShardWriter, read_lines
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.counts import Counts
from dilmac.corpus.run.workfolder import WorkFolder

TXT_GZ = "corpus.txt.gz"
REJECTS_LEVEL = 3  # zstd: quick


class Output:
    """Writes the corpus. One too small for a held-out document lends its lowest by hash.

    So there is always something to measure on; which document is lent does not depend on order.
    """

    def __init__(self, folder: Path, config: CorpusConfig):
        form, size = config.shard_format, config.shard_bytes
        self.train = ShardWriter(folder, "train", size, form)
        self.heldout = ShardWriter(folder, "heldout", size, form)
        self.rejects = JsonlWriter(folder / "rejects.jsonl.zst", REJECTS_LEVEL)
        self._lends = config.holdout_percent > 0
        self._lowest: tuple[float, bytes] | None = None
        # A fixed time of day in its header, so that the same corpus has the same bytes.
        self._text = (
            gzip.GzipFile(folder / TXT_GZ, "wb", compresslevel=6, mtime=0)
            if config.txt_gz
            else None
        )

    def add(self, work: WorkFolder, part: str) -> None:
        """Append a finished part."""
        for stage in ("clean", "final"):
            for line in read_lines(work.file(stage, part, "rejects.jsonl.zst")):
                self.rejects.write_line(_whole(line))
        for line in read_lines(work.file("final", part, "heldout.jsonl.zst")):
            self.heldout.write_line(_whole(line))
        lowest = work.facts("final", part)["lowest"]
        lines = read_lines(work.file("final", part, "train.jsonl.zst"))
        for place, line in enumerate(lines):
            data = _whole(line)
            if self._lends and lowest and place == lowest[1] and not self.heldout.num_documents:
                self._consider((lowest[0], data))
            else:
                self._keep(data)

    def _consider(self, candidate: tuple[float, bytes]) -> None:
        if self._lowest is None:
            self._lowest = candidate
        else:
            self._lowest, other = sorted((self._lowest, candidate))
            self._keep(other[1])

    def _keep(self, line: bytes) -> None:
        self.train.write_line(line)
        if self._text:
            text: str = orjson.loads(line)["text"]
            lines = [part for part in text.split("\n") if part.strip()]
            self._text.write(("\n".join(lines) + "\n\n").encode())

    def close(self, counts: Counts) -> None:
        """Finish all files."""
        if self._lowest is not None:
            line = self._lowest[1]
            is_needed = not self.heldout.num_documents and self.train.num_documents
            if is_needed:
                self.heldout.write_line(line)
                counts.heldout += 1
                counts.heldout_bytes += len(orjson.loads(line)["text"].encode())
            else:
                self._keep(line)
        for writer in (self.train, self.heldout, self.rejects):
            writer.close()
        if self._text:
            self._text.close()


def _whole(line: Line) -> bytes:
    if line.data is None:
        raise AssertionError("a part holds a line that is too long")
    return line.data


def summary(values: dict[str, Any]) -> str:
    """`name 3, other 1` of counted names."""
    return ", ".join(f"{name} {count}" for name, count in values.items())
