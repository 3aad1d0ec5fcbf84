"""Run a command in a process of its own and kill it at a moment that the files on disk name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TIMEOUT_SECONDS = 1200  # four times what the longest run takes on two cores of its own


def run_dilmac(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`dilmac …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "dilmac", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        cwd=cwd,
    )


def start_dilmac(*arguments: str, output: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """`dilmac …` in a session of its own, so that a signal reaches it and its children only."""
    return subprocess.Popen(
        [sys.executable, "-m", "dilmac", *arguments],
        stdout=output,
        stderr=output,
        text=True,
        start_new_session=True,
    )


def kill_dilmac_when(moment: Callable[[], bool], *arguments: str) -> bool:
    """Start `dilmac …`, kill -9 it and its children when `moment()`; False if it ended before."""
    process = start_dilmac(*arguments, output=subprocess.DEVNULL)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if moment():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.01)
    process.kill()
    return False


def has_steps(events: Path, count: int) -> bool:
    """Whether an `events.jsonl` holds at least `count` training steps."""
    return events.is_file() and events.read_text(encoding="utf-8").count('"step",') >= count
