"""Checkpoints as files: safetensors shards read and written tensor by tensor.

Nothing but the tables passes through memory as numbers; every other tensor is copied as bytes,
shard by shard, by the operating system. Format: https://github.com/huggingface/safetensors
(eight bytes of length, a JSON header of names, types, shapes and offsets, the data).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from dilmac.core import HashedFile, InputError, Later, sha256_of, write_json
from dilmac.models import INDEX, Stored, read_stored, read_weight_map, require_indexed
from dilmac.transplant.copies import Copies, copied, copy_bytes, copying

SINGLE = "model.safetensors"
# What a table may be stored in: its numpy twin of the same size, and torch's type.
TABLE_TYPES = {
    "F32": (np.float32, torch.float32),
    "F16": (np.float16, torch.float16),
    "BF16": (np.int16, torch.bfloat16),
}


@dataclass(frozen=True)
class Table:
    """A table to be written in place of an old one, or beside it."""

    dtype: str
    shape: tuple[int, int]
    chunks: Callable[[], Iterator[torch.Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """A model folder's weights: every tensor by name, and the shards in their order."""

    folder: Path
    shards: list[Path]
    tensors: dict[str, Stored]
    is_indexed: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: stored.shape for name, stored in self.tensors.items()}

    def names_in(self, shard: Path) -> list[str]:
        """Its tensors, in their order."""
        return [name for name, stored in self.tensors.items() if stored.shard == shard]

    def target(self, shard: Path, folder: Path) -> Path:
        """Where in another folder a shard's place is."""
        return folder / (shard.name if self.is_indexed else SINGLE)

    @property
    def num_parameters(self) -> int:
        return sum(int(np.prod(stored.shape)) for stored in self.tensors.values())

    @property
    def num_bytes(self) -> int:
        return sum(stored.end - stored.start for stored in self.tensors.values())

    def table(self, name: str) -> torch.Tensor:
        """A table [rows, width], mapped from the disk.

        Raises:
            InputError: it is stored in a type that has no single numbers (quantized).
        """
        stored = self.tensors[name]
        if stored.dtype not in TABLE_TYPES:
            raise InputError(
                f"{name} is stored as {stored.dtype}",
                where=stored.shard,
                mend="give the model in bf16, f16 or f32",
            )
        twin, dtype = TABLE_TYPES[stored.dtype]
        # mode "c": torch wants memory that it could write to; what it writes stays in memory.
        values = np.memmap(
            stored.shard, dtype=twin, mode="c", offset=stored.start, shape=stored.shape
        )
        return torch.from_numpy(values).view(dtype)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read the headers of all shards and check that every tensor is there, whole.

    Raises:
        InputError: a shard is missing, damaged or cut short, or two hold the same name.
    """
    index = folder / INDEX
    expected: dict[str, str] | None = None
    if index.is_file():
        expected = read_weight_map(index)
        shards = [folder / name for name in dict.fromkeys(expected.values())]
    else:
        shards = [folder / SINGLE] if (folder / SINGLE).is_file() else _only_shard(folder)
    tensors: dict[str, Stored] = {}
    held = {shard.name: read_stored(shard)[0] for shard in shards}
    for shard in shards:
        for name, stored in held[shard.name].items():
            if name in tensors:
                raise InputError(f"{name} is also in {tensors[name].shard.name}", where=shard)
            tensors[name] = stored
    if expected:
        require_indexed(index, expected, held)
    return Checkpoint(folder, shards, tensors, expected is not None)


def _only_shard(folder: Path) -> list[Path]:
    shards = sorted(folder.glob("*.safetensors"))
    if len(shards) != 1:
        raise InputError(
            f"{len(shards)} shards and no {INDEX}",
            where=folder,
            mend="download the model again, with its index",
        )
    return shards


# ---- writing


@dataclass(frozen=True)
class Hashes:
    """The hex SHA-256 of shards that were gone through: nobody has to read them again for that."""

    written: dict[str, str] = field(default_factory=dict)  # by their names
    read: dict[Path, str] = field(default_factory=dict)

    def add(self, shard: Path, before: str, target: Path, after: str) -> None:
        self.read[shard] = before
        self.written[target.name] = after


def copied_beside(
    source: Checkpoint, folder: Path, changed: Collection[str], *, link: bool
) -> AbstractContextManager[Copies]:
    """Begin to copy the shards that hold none of the `changed` tensors; see `copying`."""
    whole = [shard for shard in source.shards if not {*source.names_in(shard)} & {*changed}]
    return copying({shard: source.target(shard, folder) for shard in whole}, link=link)


def write_checkpoint(
    source: Checkpoint,
    folder: Path,
    tables: Mapping[str, Table],
    dropped: set[str],
    copies: Copies | None = None,
    *,
    link: bool,
) -> Hashes:
    """Write the weights into `folder`: `tables` take the place of tensors of their names.

    A table of a new name goes into the shard of the first one. A shard without any of them is
    copied whole, or with `link` hard-linked where the file system can, unless it is among `copies`.
    """
    first = next(iter(tables))
    hashes = Hashes()
    weight_map: dict[str, str] = {}
    total = 0
    whole = []
    for shard in source.shards:
        names = source.names_in(shard)
        kept = [name for name in names if name not in dropped]
        if first in names:
            kept += [name for name in tables if name not in source.tensors]
        if kept != names or any(name in tables for name in names):
            target = source.target(shard, folder)
            write = partial(_write_shard, source, names=kept, tables=tables)
            before, after = _change(write, shard, target)
            hashes.add(shard, before, target, after)
        else:
            whole.append(shard)
        weight_map |= dict.fromkeys(kept, shard.name)
        total += sum(_num_bytes(source, tables, name) for name in kept)
    made = copies.result() if copies else {}
    for shard in whole:
        target = source.target(shard, folder)
        sha256 = made.get(target) or copied(shard, target, link=link)
        hashes.add(shard, sha256, target, sha256)
    if source.is_indexed:
        metadata = {"total_size": total}
        write_json(folder / INDEX, {"metadata": metadata, "weight_map": weight_map})
    return hashes


def _change(
    write: Callable[[BinaryIO, HashedFile], None], shard: Path, target: Path
) -> tuple[str, str]:
    """Write a shard anew; the SHA-256 of the old one and of the new one.

    The old one is hashed beside the writing, while its pages are in memory.
    """
    before = Later(partial(sha256_of, shard))
    with shard.open("rb") as old, HashedFile(target) as new:
        write(old, new)
        return before.result(), new.sha256


def _num_bytes(source: Checkpoint, tables: Mapping[str, Table], name: str) -> int:
    if name in tables:
        twin, _ = TABLE_TYPES[tables[name].dtype]
        return int(np.prod(tables[name].shape)) * np.dtype(twin).itemsize
    return source.tensors[name].end - source.tensors[name].start


def _write_shard(
    source: Checkpoint,
    old: BinaryIO,
    new: HashedFile,
    names: list[str],
    tables: Mapping[str, Table],
) -> None:
    header: dict[str, Any] = {"__metadata__": read_stored(Path(old.name))[1] or {"format": "pt"}}
    offset = 0
    for name in names:
        size = _num_bytes(source, tables, name)
        table = tables.get(name)
        dtype = table.dtype if table else source.tensors[name].dtype
        shape = table.shape if table else source.tensors[name].shape
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of eight, as the format wants
    new.write(struct.pack("<Q", len(text)) + text)
    for name in names:
        if name in tables:
            _write_table(new, tables[name])
        else:
            stored = source.tensors[name]
            copy_bytes(old, new, stored.start, stored.end)


def _write_table(file: HashedFile, table: Table) -> None:
    twin, _ = TABLE_TYPES[table.dtype]
    rows = 0
    for chunk in table.chunks():
        rows += len(chunk)
        values = chunk.contiguous()
        if table.dtype == "BF16":
            values = values.view(torch.int16)
        file.write(values.numpy().astype(twin, copy=False).reshape(-1).data)
    if rows != table.shape[0]:
        raise AssertionError(f"{rows} rows were made, {table.shape[0]} announced")
