"""The rows of the input and the output table, a few thousand in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import gguf
import numpy as np
from numpy.typing import NDArray

from dilmac.export.doctor.folder import Tensor, opened
from dilmac.export.doctor.header import GgufTensor

CHUNK_NUMBERS = 1 << 22  # of a table in memory at once: 16 MB in float32

Floats = NDArray[np.float32]


def folder_rows(tensor: Tensor) -> Iterator[Floats]:
    """A table of a safetensors file in float32, `[some rows, width]` each."""
    num_rows, width = tensor.shape
    step = max(1, CHUNK_NUMBERS // max(1, width))
    with opened(tensor.file) as tensors:
        part = tensors.get_slice(tensor.name)
        for start in range(0, num_rows, step):
            yield part[start : start + step].float().numpy()


def gguf_rows(tensor: GgufTensor) -> Iterator[Floats]:
    """A table of a GGUF in float32, `[some rows, width]` each, whatever its type."""
    step = max(1, CHUNK_NUMBERS // max(1, int(tensor.shape[0])))
    with np.errstate(all="ignore"):
        for start in range(0, tensor.data.shape[0], step):
            rows = np.ascontiguousarray(tensor.data[start : start + step])
            yield gguf.quants.dequantize(rows, tensor.tensor_type).astype(np.float32)


@dataclass
class Rows:
    """What is known of every row: norm, mean and deviation `[rows]`, and which are not finite."""

    norms: NDArray[np.float64]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    width: int
    not_finite: list[int] = field(default_factory=list)
    copies: dict[int, int] = field(default_factory=dict)  # row → how many rows are equal to it


def measure(chunks: Iterable[Floats]) -> Rows:
    """Read a table once."""
    norms, means, deviations, digests = [], [], [], []
    not_finite: list[int] = []
    place = width = 0
    for chunk in chunks:
        width = chunk.shape[1]
        finite = np.asarray(np.isfinite(chunk).all(axis=1))
        not_finite += (np.flatnonzero(~finite) + place).tolist()
        clean = np.where(finite[:, None], chunk, 0).astype(np.float64)
        norms.append(np.linalg.norm(clean, axis=1))
        means.append(clean.mean(axis=1))
        deviations.append(clean.std(axis=1))
        digests += [hash(row.tobytes()) for row in chunk]
        place += len(chunk)
    counts = Counter(digests)
    return Rows(
        np.concatenate(norms),
        np.concatenate(means),
        np.concatenate(deviations),
        width,
        not_finite,
        {row: counts[digest] for row, digest in enumerate(digests)},
    )


def are_equal(one: Iterable[Floats], other: Iterable[Floats]) -> bool:
    """Whether two tables of one shape hold the same numbers."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
