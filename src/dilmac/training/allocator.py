"""How the C library hands out memory to a training step."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make glibc keep what a step frees for the next step; whether it could be told so.

    By default it maps every large buffer anew, and the kernel fills each page with zeros at its
    first touch: 170,000 page faults for a step of four layers on 2,048 tokens, a quarter of its
    time (benchmarks/RESULTS.md).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library may lack it
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
