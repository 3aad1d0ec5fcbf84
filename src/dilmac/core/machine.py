"""What machine this is, and which versions run on it: recorded in every artifact."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = (
    "dilmac",
    "torch",
    "transformers",
    "tokenizers",
    "sentencepiece",
    "gigatoken",
    "trl",
    "peft",
    "gguf",
    "xllamacpp",
)


def versions() -> dict[str, str]:
    """Version of Python and of every package whose release can change an artifact's bytes."""
    found = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def num_cpus() -> int:
    """Cores that this process may use: affinity and the cgroup's limit, not the machine's count."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:
        available = os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, min(available, quota) if quota else available)


def _cgroup_cpus() -> int | None:
    limit = Path("/sys/fs/cgroup/cpu.max")
    if not limit.is_file():
        return None
    quota, period = limit.read_text().split()
    return None if quota == "max" else max(1, round(int(quota) / int(period)))


def machine() -> dict[str, Any]:
    """System, processor architecture and usable cores."""
    return {"system": platform.system(), "arch": platform.machine(), "cpus": num_cpus()}
