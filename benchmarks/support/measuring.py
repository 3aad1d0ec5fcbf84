"""What benchmarks share: the machine in a line, the memory of a process with its children."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime

import psutil

from dilmac.core import machine, versions


def heading(command: str) -> str:
    """Date, machine and command: the first lines of an entry in RESULTS.md."""
    here = machine()
    stated = ", ".join(f"{name} {version}" for name, version in versions().items())
    date = datetime.now(UTC).date().isoformat()
    return f"{date} · {here['system']} {here['arch']}, {here['cpus']} cores\n{stated}\n$ {command}"


def run_measured(command: list[str]) -> tuple[float, float]:
    """Wall time [seconds] and peak resident memory [MB] of a command and all its children."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    root = psutil.Process(process.pid)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(root))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.monotonic() - started, peak / 1e6


def _resident(root: psutil.Process) -> int:
    total = 0
    try:
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        return total
    return total
