"""A command watched while it runs (Linux): time, and peak memory by kinds of pages.

Resident memory counts the pages of files that a process has mapped. Those of a checkpoint are
clean: the kernel takes them back when something else needs them. `RssAnon` is what the process
itself holds.

On a machine that others use, a process also waits for a processor. The kernel counts that for the
main thread (`/proc/PID/schedstat`), so that it can be told from work and from waiting for the disk.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.children import TAIL_LINES, ChildFailed

EVERY_SECONDS = 0.2  # looking costs a processor, too: 0.8 ms a time
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Watched:
    """What a command took; memory is that of its own process."""

    seconds: float
    cpu_seconds: float  # of all its threads
    waited_seconds: float  # the main thread was ready and others had the processors
    peak_gb: float  # VmHWM: the kernel's own high-water mark of resident memory
    peak_anon_gb: float  # RssAnon, the highest of the samples


def run_watched(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Watched:
    """Run a command to its end, its output in `log`; an interruption ends it, too.

    Raises:
        ChildFailed: it ended with an error; its last lines.
    """
    cpu = waited = 0.0
    peak = anonymous = 0
    started = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, **(environment or {})}
        )
        try:
            while process.poll() is None:
                status = _status(process.pid)
                peak = max(peak, status.get("VmHWM", 0))
                anonymous = max(anonymous, status.get("RssAnon", 0))
                times = _times(process.pid)
                cpu, waited = max(cpu, times[0]), max(waited, times[1])
                time.sleep(EVERY_SECONDS)
        finally:
            seconds = time.monotonic() - started
            process.kill()
            process.wait()
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        raise ChildFailed(
            f"{' '.join(command)} ended with {process.returncode}\n" + "\n".join(last)
        )
    return Watched(seconds, cpu, waited, peak / 1e6, anonymous / 1e6)


def _status(pid: int) -> dict[str, int]:
    """Figures of /proc/PID/status in units of 1,000 bytes; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return {}
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 // 1000 for row in rows if row[-1] == "kB"}


def _times(pid: int) -> tuple[float, float]:
    """Seconds on a processor, all threads; seconds in which the main thread waited for one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        delay = Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()
    except OSError:
        return 0.0, 0.0
    # Fields 14 and 15 of proc(5) are user and system time; the third is the first one here.
    return (int(stat[11]) + int(stat[12])) / TICKS, int(delay[1]) / 1e9
