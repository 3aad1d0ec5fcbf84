"""A measurement in a process of its own: settings go in and figures come out as JSON.

A benchmark starts itself again with `--child SETTINGS --figures FILE`; what one side imports,
compiles or leaves in memory cannot touch the other.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
TAIL_LINES = 12  # of a failed child's log that are shown


class ChildFailed(Exception):  # noqa: N818 (it is an outcome: out of memory, say)
    """The child ended with an error; its last lines."""


def add_child_flags(parser: argparse.ArgumentParser) -> None:
    """The flags with which a benchmark calls itself."""
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--figures", type=Path, help=argparse.SUPPRESS)


def answer(chosen: argparse.Namespace, work: Callable[[Figures], Figures]) -> bool:
    """In a child do the work and write its figures; whether this was one."""
    if chosen.child is None:
        return False
    figures = work(chosen.child)
    # Kilobytes on Linux.
    figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    chosen.figures.write_text(json.dumps(figures), encoding="utf-8")
    return True


def run_child(
    script: str,
    settings: Figures,
    folder: Path,
    name: str,
    *,
    flags: Sequence[str] = (),
    is_shown: bool = False,
) -> Figures:
    """Start the script as a child, with further `flags`, and wait; its figures. What it says goes
    into a log in `folder`, or, where it `is_shown`, to the screen.

    Raises:
        ChildFailed: it ended with an error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    slug = "".join(letter if letter.isalnum() else "-" for letter in name)
    figures, log = folder / f"{slug}.json", folder / f"{slug}.log"
    figures.unlink(missing_ok=True)
    command = [sys.executable, script, *flags, "--child", json.dumps(settings)]
    command += ["--figures", str(figures)]
    started = time.monotonic()
    with log.open("wb") as file:
        output = sys.stderr if is_shown else file
        status = subprocess.run(command, stdout=output, stderr=output, check=False).returncode
    if status or not figures.is_file():
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        raise ChildFailed(f"{name} ended with {status}\n" + "\n".join(last))
    result: Figures = json.loads(figures.read_text(encoding="utf-8"))
    progress(f"{name}: {time.monotonic() - started:.0f} s")
    return result


def progress(text: str) -> None:
    """A line for whoever waits, on standard error: output stays for results."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
