"""One writer of an artifact at a time, whatever process it is in."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dilmac.core.errors import ArtifactError


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the name of an artifact; its parent folder is made.

    Raises:
        ArtifactError: another process holds it, or the folder cannot be made.
    """
    make_folder(out.parent)
    name = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:32]
    owner = getattr(os, "getuid", lambda: 0)()
    locks = Path(tempfile.gettempdir()) / f"dilmac-{owner}"  # lock files stay: one place for all
    locks.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(locks / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ArtifactError(
            "another dilmac is writing it", where=out, mend="wait for it, or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        ArtifactError: that is not allowed there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # explained by `disk_full_explained`
        raise ArtifactError(
            f"cannot be made ({error.strerror or error})", where=folder, mend="choose another --out"
        ) from error
