"""How long this process waited for a core: on a busy machine that is no time of its own."""

from __future__ import annotations

import time
from pathlib import Path

_SCHEDSTAT = Path("/proc/self/schedstat")  # of the main thread; Linux alone has it


def waited_seconds() -> float:
    """Seconds that the main thread could have run and had no core; 0 where nothing tells."""
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def own_seconds() -> float:
    """A clock that stands still while the main thread waits for a core [seconds]."""
    return time.perf_counter() - waited_seconds()
