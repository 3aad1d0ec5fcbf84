"""A corpus on disk: `train-00000.jsonl.zst`, `heldout-00000.jsonl.zst`, streamed both ways.

Each line is a document: `{"id", "text", "source", …}`. The shards open with any JSONL reader,
`datasets.load_dataset("json", data_files=…)` among them; or, on request, they are Parquet files
with the same columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from dilmac.core.errors import InputError
from dilmac.core.files import JsonlWriter, read_lines, read_table

SPLITS = ("train", "heldout")
SHARD_LEVEL = 3  # zstd: 6 packs a few percent smaller and takes three times as long
ROW_GROUP_BYTES = 8 << 20  # of a Parquet shard; what is in memory at once


class _OneShard(Protocol):
    num_text_bytes: int

    def write_line(self, line: bytes) -> None: ...

    def close(self) -> None: ...


class ParquetWriter:
    """Writes JSON objects as rows; the first one's fields are the columns."""

    def __init__(self, path: Path):
        self.path = path
        self.num_text_bytes = 0
        self._rows: list[dict[str, Any]] = []
        self._bytes_in_rows = 0
        self._writer: Any = None

    def write_line(self, line: bytes) -> None:
        """Write an object that is JSON already."""
        self._rows.append(json.loads(line))
        self.num_text_bytes += len(line) + 1
        self._bytes_in_rows += len(line)
        if self._bytes_in_rows >= ROW_GROUP_BYTES:
            self._write_rows()

    def _write_rows(self) -> None:
        import pyarrow
        import pyarrow.parquet

        schema = self._writer.schema if self._writer else None
        table = pyarrow.Table.from_pylist(self._rows, schema=schema)
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(
                self.path, table.schema, compression="zstd", compression_level=SHARD_LEVEL
            )
        self._writer.write_table(table)
        self._rows, self._bytes_in_rows = [], 0

    def close(self) -> None:
        """Write what is left and finish the file."""
        if self._rows:
            self._write_rows()
        if self._writer:
            self._writer.close()


class ShardWriter:
    """Writes documents of one split into shards of at most `max_bytes` of JSON each."""

    def __init__(self, folder: Path, split: str, max_bytes: int, form: str = "jsonl.zst"):
        self.folder, self.split, self.max_bytes, self.form = folder, split, max_bytes, form
        self.num_documents = 0
        self._num_shards = 0
        self._current: _OneShard | None = None

    def write(self, document: dict[str, Any]) -> None:
        """Write a document."""
        self.write_line(json.dumps(document, ensure_ascii=False).encode())

    def write_line(self, line: bytes) -> None:
        """Write a document that is JSON already."""
        if self._current is None or self._current.num_text_bytes >= self.max_bytes:
            self.close()
            path = self.folder / f"{self.split}-{self._num_shards:05d}.{self.form}"
            is_table = self.form == "parquet"
            self._current = ParquetWriter(path) if is_table else JsonlWriter(path, SHARD_LEVEL)
            self._num_shards += 1
        self._current.write_line(line)
        self.num_documents += 1

    def close(self) -> None:
        """Finish the current shard."""
        if self._current is not None:
            self._current.close()
            self._current = None


def read_documents(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """Documents of a split, in order.

    Raises:
        InputError: the folder holds no shard of that split, or a shard is damaged.
    """
    shards = sorted([*folder.glob(f"{split}-*.jsonl.zst"), *folder.glob(f"{split}-*.parquet")])
    if not shards:
        raise InputError(
            f"no {split} shards in it",
            where=folder,
            mend="make a corpus with `dilmac corpus build TEXT… --out DIR`",
        )
    for shard in shards:
        if shard.suffix == ".parquet":
            yield from (values for _, values in read_table(shard))
            continue
        for line in read_lines(shard):
            if line.data is None:
                raise InputError("a line is too long", where=f"{shard}:{line.number}")
            yield json.loads(line.data)


def read_texts(folder: Path, split: str) -> Iterator[str]:
    """Texts of a split, in order."""
    for document in read_documents(folder, split):
        yield document["text"]


def count_text_bytes(folder: Path, split: str) -> int:
    """UTF-8 bytes of all texts of a split."""
    return sum(len(text.encode()) for text in read_texts(folder, split))
