"""PPMd primed once, measured on many texts: after the training text each domain gets a copy of the
compressor, by forking the process, so that no domain learns from another.

The same variant (I, cutting off when memory is full), order and counting as
`dilmac.evaluate.compressor`, which reads the training text anew for every measurement.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import pyppmd

from dilmac.evaluate.compressor import MEMORY_PER_BYTE, MIN_MEMORY
from support.children import progress

PROGRESS_BYTES = 20_000_000
# PPMd's own limit: its model is addressed with 32 bits. Past it the oldest contexts are cut off.
LARGEST_MEMORY = (1 << 32) - (1 << 20)


def primed_by_domain(
    train: Iterable[str],
    domains: Mapping[str, Iterable[str]],
    *,
    train_bytes: int,
    order: int,
    max_memory: int,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Bits per byte of each domain after `train` was read; and what it was primed with.

    Raises:
        OSError: the system has no `fork`, or a child failed.
    """
    wanted = max(MIN_MEMORY, train_bytes * MEMORY_PER_BYTE)
    memory = min(LARGEST_MEMORY, max_memory, wanted)
    encoder = pyppmd.Ppmd8Encoder(order, memory, pyppmd.PPMD8_RESTORE_METHOD_CUT_OFF)
    primed = shown = 0
    for text in train:
        data = text.encode() + b"\n"
        encoder.encode(data)
        primed += len(data)
        if primed - shown >= PROGRESS_BYTES:
            shown = primed
            progress(f"PPMd, order {order}: {primed / 1e6:,.0f} of {train_bytes / 1e6:,.0f} MB")
    values = {name: _in_a_copy(encoder, texts) for name, texts in domains.items()}
    facts = {
        "order": order,
        "memory_bytes": memory,
        "memory_wanted_bytes": wanted,
        "primed_with_bytes": primed,
    }
    return values, facts


def _in_a_copy(encoder: Any, texts: Iterable[str]) -> float:
    """Bits per byte of texts in a copy of this process, which ends with its compressor."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(write_end, json.dumps(_bits_per_byte(encoder, texts)).encode())
            status = 0
        finally:
            os._exit(status)  # no clean-up of what belongs to the parent
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        value = answer.read()
    _, status = os.waitpid(child, 0)
    if status or not value:
        raise OSError(f"the copy of PPMd ended with {os.waitstatus_to_exitcode(status)}")
    return float(json.loads(value))


def _bits_per_byte(encoder: Any, texts: Iterable[str]) -> float:
    num_bytes = packed_bytes = 0
    for text in texts:
        data = text.encode()
        num_bytes += len(data)
        packed_bytes += len(encoder.encode(data + b"\n"))
    packed_bytes += len(encoder.flush())
    return 8 * packed_bytes / max(1, num_bytes)
