"""The header of a GGUF with all of its values, and its tensors on the disk as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from dilmac.engines import Array, LayoutError, StoredTensor, read_layout, unreadable

# Types whose values numpy has; the others are blocks of bytes.
PLAIN = {
    gguf.GGMLQuantizationType.F32: np.float32,
    gguf.GGMLQuantizationType.F16: np.float16,
    gguf.GGMLQuantizationType.F64: np.float64,
}


@dataclass(frozen=True)
class GgufTensor:
    """A tensor: its name, type, and shape as GGUF writes it (row length first); `data` are its
    numbers on the disk, [rows, row], blocks of a quantized type as bytes."""

    name: str
    tensor_type: gguf.GGMLQuantizationType
    shape: tuple[int, ...]
    data: np.ndarray

    @property
    def n_elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def n_bytes(self) -> int:
        return int(self.data.nbytes)


@dataclass(frozen=True)
class Header:
    """Keys with their values and types (an array's own, and that of what it holds), and tensors."""

    values: dict[str, Any]
    kinds: dict[str, tuple[Any, Any]]
    tensors: dict[str, GgufTensor]


def read_header(path: Path) -> Header:
    """Read it; tensors stay on the disk.

    Raises:
        InputError: no GGUF, cut off, or something in it cannot be.
    """
    layout = read_layout(path)
    values: dict[str, Any] = {}
    kinds: dict[str, tuple[Any, Any]] = {}
    try:
        for name, value in layout.values.items():
            is_list = isinstance(value, Array)
            values[name] = layout.array(name) if is_list else value
            inner = gguf.GGUFValueType(value.kind) if is_list else None
            kinds[name] = (gguf.GGUFValueType(layout.kinds[name]), inner)
    except LayoutError as error:
        raise unreadable(path, error) from error
    return Header(values, kinds, {one.name: _opened(path, one) for one in layout.tensors})


def _opened(path: Path, stored: StoredTensor) -> GgufTensor:
    kind = gguf.GGMLQuantizationType(stored.kind)
    rows = tuple(reversed(stored.shape))
    data: np.ndarray = np.memmap(path, np.uint8, "r", stored.start, (stored.end - stored.start,))
    if kind in PLAIN:
        return GgufTensor(stored.name, kind, stored.shape, data.view(PLAIN[kind]).reshape(rows))
    whole = gguf.quant_shape_to_byte_shape(rows, kind)
    return GgufTensor(stored.name, kind, stored.shape, data.reshape(whole))
