"""Checkpoints as files: safetensors shards read and written tensor by tensor.

Nothing but the tables passes through memory as numbers; every other tensor is copied as bytes,
shard by shard, by the operating system. Format: https://github.com/huggingface/safetensors
(eight bytes of length, a JSON header of names, types, shapes and offsets, the data).
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from dilmac.core import HashedFile, InputError, Later, sha256_of, write_json

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_HEADER = 100_000_000  # bytes, as safetensors itself allows
# A buffer that stays in the processor's cache: with 64 MB, each read into fresh pages, copying
# takes five times the CPU (benchmarks/RESULTS.md).
COPY_BYTES = 1 << 20
# What a table may be stored in: its numpy twin of the same size, and torch's type.
TABLE_TYPES = {
    "F32": (np.float32, torch.float32),
    "F16": (np.float16, torch.float16),
    "BF16": (np.int16, torch.bfloat16),
}


@dataclass(frozen=True)
class Stored:
    """A tensor in a shard."""

    shard: Path
    dtype: str  # as safetensors writes it
    shape: tuple[int, ...]
    start: int  # of its bytes in the file
    end: int


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
        expected = _weight_map(index)
        shards = [folder / name for name in dict.fromkeys(expected.values())]
    else:
        shards = [folder / SINGLE] if (folder / SINGLE).is_file() else _only_shard(folder)
    tensors: dict[str, Stored] = {}
    for shard in shards:
        for name, stored in read_header(shard)[0].items():
            if name in tensors:
                raise InputError(f"{name} is also in {tensors[name].shard.name}", where=shard)
            tensors[name] = stored
    for name, shard_name in (expected or {}).items():
        if name not in tensors or tensors[name].shard.name != shard_name:
            raise InputError(
                f"{name} is not in {shard_name}, where {INDEX} says it is",
                where=index,
                mend="download the model again",
            )
    return Checkpoint(folder, shards, tensors, expected is not None)


def _weight_map(index: Path) -> dict[str, str]:
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not all(isinstance(name, str) for name in found.values()):
            raise TypeError("a shard is no name")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"no index of shards ({error})", where=index) from error
    for name in set(found.values()):
        if Path(name).name != name:
            raise InputError(f"names a file outside of the folder: {name}", where=index)
        if not (index.parent / name).is_file():
            raise InputError(
                f"the shard {name} is missing", where=index.parent, mend="download it again"
            )
    return dict(found)


def _only_shard(folder: Path) -> list[Path]:
    shards = sorted(folder.glob("*.safetensors"))
    if len(shards) != 1:
        raise InputError(
            f"{len(shards)} shards and no {INDEX}",
            where=folder,
            mend="download the model again, with its index",
        )
    return shards


def read_header(shard: Path) -> tuple[dict[str, Stored], dict[str, str]]:
    """Tensors and metadata of one safetensors file.

    Raises:
        InputError: it is no safetensors file, or shorter than its header says.
    """
    size = shard.stat().st_size
    with shard.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else MAX_HEADER + 1
        if length > min(MAX_HEADER, size - 8):
            raise InputError("no safetensors file, or cut short", where=shard, mend=_AGAIN)
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            metadata = header.pop("__metadata__", {})
            base = 8 + length
            tensors = {name: _stored(shard, base, entry) for name, entry in header.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"no safetensors header in it ({error})", where=shard, mend=_AGAIN
            ) from error
    end = max((stored.end for stored in tensors.values()), default=8 + length)
    if end != size:
        raise InputError(f"has {size:,} bytes, its header says {end:,}", where=shard, mend=_AGAIN)
    return tensors, metadata


_AGAIN = "download the file again"


def _stored(shard: Path, base: int, entry: Mapping[str, Any]) -> Stored:
    start, end = entry["data_offsets"]
    shape = tuple(int(size) for size in entry["shape"])
    return Stored(shard, str(entry["dtype"]), shape, base + int(start), base + int(end))


# ---- writing


@dataclass(frozen=True)
class Hashes:
    """The hex SHA-256 of shards that were gone through: nobody has to read them again for that."""

    written: dict[str, str] = field(default_factory=dict)  # by their names
    read: dict[Path, str] = field(default_factory=dict)


def write_checkpoint(
    source: Checkpoint, folder: Path, tables: Mapping[str, Table], dropped: set[str], *, link: bool
) -> Hashes:
    """Write the weights into `folder`: `tables` take the place of tensors of their names.

    A table of a new name goes into the shard of the first one. A shard without any of them is
    copied whole, or with `link` hard-linked where the file system can.
    """
    first = next(iter(tables))
    hashes = Hashes()
    weight_map: dict[str, str] = {}
    total = 0
    for shard in source.shards:
        names = [name for name, stored in source.tensors.items() if stored.shard == shard]
        kept = [name for name in names if name not in dropped]
        if first in names:
            kept += [name for name in tables if name not in source.tensors]
        target = folder / (shard.name if source.is_indexed else SINGLE)
        if kept != names or any(name in tables for name in names):
            hashes.read[shard], hashes.written[target.name] = _change(
                partial(_write_shard, source, names=kept, tables=tables), shard, target
            )
        else:
            same = _linked(shard, target) if link else None
            hashes.read[shard] = hashes.written[target.name] = same or _copied(shard, target)
        weight_map |= dict.fromkeys(kept, shard.name)
        total += sum(_num_bytes(source, tables, name) for name in kept)
    if source.is_indexed:
        metadata = {"total_size": total}
        write_json(folder / INDEX, {"metadata": metadata, "weight_map": weight_map})
    return hashes


def _linked(shard: Path, target: Path) -> str | None:
    """Hard-link a shard: its SHA-256, or None where that cannot be done."""
    try:
        os.link(shard.resolve(), target)
    except OSError:  # another file system
        return None
    return sha256_of(target)


def _copied(shard: Path, target: Path) -> str:
    """Copy a shard; the SHA-256 of both."""
    with shard.open("rb") as old, HashedFile(target) as new:
        _copy_bytes(old, new, 0, shard.stat().st_size)
        return new.sha256


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
    header: dict[str, Any] = {"__metadata__": read_header(Path(old.name))[1] or {"format": "pt"}}
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
            _copy_bytes(old, new, stored.start, stored.end)


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


def _copy_bytes(old: BinaryIO, new: HashedFile, start: int, end: int) -> None:
    old.seek(start)
    while start < end:
        data = old.read(min(COPY_BYTES, end - start))
        if not data:
            raise InputError("became shorter while it was read", where=old.name)
        new.write(data)
        start += len(data)
