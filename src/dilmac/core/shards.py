"""A corpus on disk: `train-00000.jsonl.zst`, `heldout-00000.jsonl.zst`, streamed both ways.

Each line is a document: `{"id", "text", "source"}`. The shards open with any JSONL reader,
`datasets.load_dataset("json", data_files=…)` among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dilmac.core.errors import InputError
from dilmac.core.files import JsonlWriter, read_lines

SPLITS = ("train", "heldout")


class ShardWriter:
    """Writes documents of one split into shards of at most `max_bytes` of JSON each."""

    def __init__(self, folder: Path, split: str, max_bytes: int):
        self.folder, self.split, self.max_bytes = folder, split, max_bytes
        self.num_documents = 0
        self._num_shards = 0
        self._current: JsonlWriter | None = None

    def write(self, document: dict[str, Any]) -> None:
        if self._current is None or self._current.num_text_bytes >= self.max_bytes:
            self.close()
            path = self.folder / f"{self.split}-{self._num_shards:05d}.jsonl.zst"
            self._current = JsonlWriter(path)
            self._num_shards += 1
        self._current.write(document)
        self.num_documents += 1

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None


def read_documents(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """Documents of a split, in order.

    Raises:
        InputError: the folder holds no shard of that split, or a shard is damaged.
    """
    shards = sorted(folder.glob(f"{split}-*.jsonl.zst"))
    if not shards:
        raise InputError(
            f"no {split} shards in it",
            where=folder,
            mend="make a corpus with `dilmac corpus build TEXT… --out DIR`",
        )
    for shard in shards:
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
