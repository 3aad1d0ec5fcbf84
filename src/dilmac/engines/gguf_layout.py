"""How a GGUF is laid out, and whether it can be so.

Every count, length, offset and size is held against the file's own size before anything is read or
allocated by it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (magic, version, counts, keys with
values, tensors' names, shapes, types and offsets, then the data, each tensor at its alignment).
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from dilmac.core import InputError

VERSIONS = (2, 3)
STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<B",
    10: "<Q",
    11: "<q",
    12: "<d",
}
MIN_KEY = 8 + 1 + 4 + 1  # bytes: a name of one letter, its type, a value of one byte
MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8
MAX_NAME = 65535  # bytes of a key, by the format
MAX_TENSOR_NAME = 64
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 16
# Beyond these no file is sound, but a large one has room for the lie, and the time and memory of
# reading it would be without bound. Qwen3's has 151,387 merges.
MAX_KEYS, MAX_TENSORS = 1 << 16, 1 << 20
MAX_VALUES = 1 << 24  # of one array
MAX_STRING = 16 << 20  # bytes


class LayoutError(ValueError):
    """What is wrong with a GGUF."""


@dataclass(frozen=True)
class Array:
    """An array of the metadata: its values' type, their number, and where they begin [bytes]."""

    kind: int
    length: int
    start: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor: its shape [rows last, as GGUF has it], type, and place in the file [bytes]."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int
    end: int


@dataclass(frozen=True)
class Layout:
    """Metadata (strings, numbers, and of arrays where they stand), the type of each, and tensors,
    in their order."""

    path: Path
    values: dict[str, Any]
    kinds: dict[str, int]
    tensors: list[StoredTensor]

    def array(self, key: str) -> list[Any]:
        """The values of an array: strings or numbers.

        Raises:
            LayoutError: there is none of that name, or a string is no UTF-8.
        """
        array = self.values.get(key)
        if not isinstance(array, Array):
            raise LayoutError(f"no array {key} in it")
        with _mapped(self.path) as data:
            reader = _Reader(data, array.start)
            if array.kind == STRING:
                return [reader.text(key) for _ in range(array.length)]
            form = SCALARS[array.kind]
            part = data[array.start : array.start + array.length * struct.calcsize(form)]
            return list(np.frombuffer(part, form).tolist())


def read_layout(path: Path) -> Layout:
    """The header of a GGUF that is whole and does not lie.

    Raises:
        InputError: it is none, is cut off, or something in it cannot be.
    """
    try:
        if not path.stat().st_size:
            raise LayoutError("an empty file")
        with _mapped(path) as data:
            return _Reader(data).layout(path)
    except (LayoutError, OSError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    """What is said of a GGUF that is not opened."""
    return InputError(f"no readable GGUF ({error})", where=path, mend="export or download it again")


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


class _Reader:
    """Goes through a file; nothing is taken that is not there."""

    def __init__(self, data: mmap.mmap, at: int = 0):
        self.data = data
        self.size = len(data)
        self.at = at

    def layout(self, path: Path) -> Layout:
        if self.data[:4] != b"GGUF":
            raise LayoutError("no magic number")
        self.at = 4
        version = self.number("<I")
        if version not in VERSIONS:
            raise LayoutError(f"version {version}, known are 2 and 3 (little-endian)")
        num_tensors, num_keys = self.number("<Q"), self.number("<Q")
        needed = num_tensors * MIN_TENSOR + num_keys * MIN_KEY
        is_fit = num_keys <= MAX_KEYS and num_tensors <= MAX_TENSORS
        if not is_fit or needed > self.size - self.at:
            raise LayoutError(
                f"{num_tensors:,} tensors and {num_keys:,} keys in {self.size:,} bytes"
            )
        values: dict[str, Any] = {}
        kinds: dict[str, int] = {}
        for _ in range(num_keys):
            name = self.name(MAX_NAME)
            if name in values:
                raise LayoutError(f"the key {name} twice")
            kinds[name] = self.number("<I")
            values[name] = self.value(kinds[name], name)
        return Layout(path, values, kinds, self.tensors(num_tensors, _alignment(values)))

    def tensors(self, count: int, alignment: int) -> list[StoredTensor]:
        """The tensors, each behind the one before it, and the last at the file's end."""
        found: list[StoredTensor] = []
        offset = 0
        for _ in range(count):
            name = self.name(MAX_TENSOR_NAME)
            shape = self.shape(name)
            kind, stated = self.number("<I"), self.number("<Q")
            if stated != offset:
                raise LayoutError(f"{name} at offset {stated:,}, expected at {offset:,}")
            end = offset + _num_bytes(name, shape, kind)
            found.append(StoredTensor(name, shape, kind, offset, end))
            offset = _aligned(end, alignment)
        if len({tensor.name for tensor in found}) < count:
            raise LayoutError("two tensors of one name")
        base = _aligned(self.at, alignment) if found else self.at
        end = found[-1].end if found else 0
        if not base + end <= self.size <= _aligned(base + end, alignment):
            raise LayoutError(f"{self.size:,} bytes, its header says {base + end:,}")
        return [
            StoredTensor(
                tensor.name, tensor.shape, tensor.kind, base + tensor.start, base + tensor.end
            )
            for tensor in found
        ]

    def shape(self, name: str) -> tuple[int, ...]:
        dimensions = self.number("<I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise LayoutError(f"{name} has {dimensions:,} dimensions")
        return tuple(self.number("<Q") for _ in range(dimensions))

    def value(self, kind: int, name: str) -> Any:
        if kind == STRING:
            return self.text(name)
        if kind == ARRAY:
            return self.array(name)
        if kind not in SCALARS:
            raise LayoutError(f"{name} is of type {kind}, which there is not")
        value = self.number(SCALARS[kind])
        if kind == BOOL and value > 1:
            raise LayoutError(f"{name} is neither true nor false, but {value}")
        if isinstance(value, float) and not math.isfinite(value):
            raise LayoutError(f"{name} is {value}")
        return bool(value) if kind == BOOL else value

    def array(self, name: str) -> Array:
        kind, length = self.number("<I"), self.number("<Q")
        start = self.at
        if length > MAX_VALUES:
            raise LayoutError(f"{length:,} values in {name}")
        if kind == STRING:
            self.require(length * 8, f"{name}, {length:,} strings")
            for _ in range(length):
                self.skip(self.number("<Q"), f"a string of {name}")
        elif kind in SCALARS:
            self.skip(length * struct.calcsize(SCALARS[kind]), f"{name}, {length:,} numbers")
        else:
            raise LayoutError(f"{name} is an array of type {kind}, which there is not")
        return Array(kind, length, start)

    def name(self, longest: int) -> str:
        length = self.number("<Q")
        if not 1 <= length <= longest:
            raise LayoutError(f"a name of {length:,} bytes")
        self.at -= 8
        return self.text("a name")

    def text(self, what: str) -> str:
        length = self.number("<Q")
        if length > MAX_STRING:
            raise LayoutError(f"{length:,} bytes in {what}")
        start = self.at
        self.skip(length, what)
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError as error:
            raise LayoutError(f"{what} is no UTF-8") from error

    def number(self, form: str) -> Any:
        start = self.at
        self.skip(struct.calcsize(form), "its header")
        return struct.unpack_from(form, self.data, start)[0]

    def skip(self, count: int, what: str) -> None:
        self.require(count, what)
        self.at += count

    def require(self, count: int, what: str) -> None:
        if count > self.size - self.at:
            raise LayoutError(f"{self.size:,} bytes, too few for {what}")


def _alignment(values: dict[str, Any]) -> int:
    alignment = values.get("general.alignment", gguf.GGUF_DEFAULT_ALIGNMENT)
    is_power = isinstance(alignment, int) and alignment > 0 and not alignment & (alignment - 1)
    if not is_power or alignment > MAX_ALIGNMENT:
        raise LayoutError(f"an alignment of {alignment}")
    return int(alignment)


def _aligned(place: int, alignment: int) -> int:
    return -(-place // alignment) * alignment


def _num_bytes(name: str, shape: tuple[int, ...], kind: int) -> int:
    try:
        block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
    except (ValueError, KeyError) as error:
        raise LayoutError(f"{name} is of type {kind}, which there is not") from error
    if not all(shape) or shape[0] % block:
        raise LayoutError(f"{name} of {list(shape)} cannot be cut into blocks of {block}")
    return int(math.prod(shape) // block * size)
