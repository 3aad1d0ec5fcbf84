"""Safetensors as files: where every tensor stands, and whether what a header says can be.

Format: https://github.com/huggingface/safetensors (eight bytes of length, a JSON header of names,
types, shapes and offsets, the data, each tensor directly behind the one before it).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilmac.core import InputError

INDEX = "model.safetensors.index.json"
MAX_HEADER = 100_000_000  # bytes, as safetensors itself allows
METADATA = "__metadata__"
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
_AGAIN = "download or make the file again"


@dataclass(frozen=True)
class Stored:
    """A tensor in a shard."""

    shard: Path
    dtype: str  # as safetensors writes it
    shape: tuple[int, ...]
    start: int  # of its bytes in the file
    end: int


def read_stored(shard: Path) -> tuple[dict[str, Stored], dict[str, str]]:
    """Tensors and metadata of one safetensors file, whose header holds for the whole file.

    Raises:
        InputError: it is no safetensors file, is cut short, or something in its header cannot be.
    """
    try:
        return _read(shard)
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"no readable safetensors ({error})", where=shard, mend=_AGAIN) from error


def _read(shard: Path) -> tuple[dict[str, Stored], dict[str, str]]:
    size = shard.stat().st_size
    with shard.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 0 < length <= min(MAX_HEADER, size - 8):
            raise ValueError(f"{size:,} bytes, a header of {length:,}")
        header = json.loads(file.read(length).decode(), object_pairs_hook=_once)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are no strings")
    base = 8 + length
    tensors = {name: _stored(shard, base, name, entry) for name, entry in header.items()}
    end = base
    for name, stored in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if stored.start != end:
            raise ValueError(f"{name} at {stored.start - base:,}, expected at {end - base:,}")
        end = stored.end
    if end != size:
        raise ValueError(f"has {size:,} bytes, its header says {end:,}")
    return tensors, metadata


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _stored(shard: Path, base: int, name: str, entry: Any) -> Stored:
    name.encode()  # no lone surrogate
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} is described otherwise than by type, shape and offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ValueError(f"{name} is of type {dtype!r}, which is not known")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{name} has no whole numbers for its shape and offsets")
    bits = math.prod(shape) * BITS[dtype]
    if bits % 8 or offsets[1] - offsets[0] != bits // 8:
        raise ValueError(f"{name} of {shape} in {dtype} takes {offsets[1] - offsets[0]:,} bytes")
    return Stored(shard, dtype, tuple(shape), base + offsets[0], base + offsets[1])


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def read_weight_map(index: Path) -> dict[str, str]:
    """Which shard holds which tensor, by the index of a folder with several.

    Raises:
        InputError: it is no index, or names a file that is not in the folder.
    """
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not all(isinstance(name, str) for name in found.values()):
            raise TypeError("a shard is no name")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"no index of shards ({error})", where=index) from error
    for name in set(found.values()):
        if Path(name).name != name:
            raise InputError(f"names a file outside of the folder: {name}", where=index)
        if not (index.parent / name).is_file():
            raise InputError(
                f"the shard {name} is missing", where=index.parent, mend="download it again"
            )
    return dict(found)


def require_sound_weights(folder: Path) -> None:
    """Look at the header of every safetensors file of a folder, and at their index.

    Raises:
        InputError: one is damaged, or a tensor is not where the index says.
    """
    held = {path.name: read_stored(path)[0] for path in sorted(folder.glob("*.safetensors"))}
    index = folder / INDEX
    if index.is_file():
        require_indexed(index, read_weight_map(index), held)


def require_indexed(
    index: Path, weight_map: Mapping[str, str], held: Mapping[str, Mapping[str, Stored]]
) -> None:
    """Hold an index against what the shards hold, by their names.

    Raises:
        InputError: a tensor is not where the index says.
    """
    for name, shard in weight_map.items():
        if name not in held.get(shard, {}):
            raise InputError(
                f"{name} is not in {shard}, where {INDEX} says it is",
                where=index,
                mend="download the model again",
            )
