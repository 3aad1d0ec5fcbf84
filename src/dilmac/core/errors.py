"""What the user can mend.

    DilmacError
    ├── ConfigError             a flag or a recipe key
    ├── InputError              a file: missing, empty, damaged, or not what it should be
    │   └── UnreadableInputError  not to be read now: the disk or the network
    ├── ArtifactError           an artifact folder: incomplete, in use, or made from other inputs
    ├── MissingDependencyError  an optional package, with the command that brings it
    ├── DiskFullError           no space left where an artifact is written
    ├── EngineError             an engine process died, hung, or refused
    └── ParityError             an export that does not equal its source

Each error names the place, what was found there, and the mend. The command line prints it
in a line or two and exits with 2; every other exception is our own fault and keeps its
traceback.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DilmacError(Exception):
    """A fault that the user can mend.

    `where` is a file, a `file:line` or a flag; `found` what was found there; `mend` what to do.
    """

    def __init__(self, found: str, *, where: str | Path | None = None, mend: str | None = None):
        self.found = found
        self.where = str(where) if where is not None else None
        self.mend = mend
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mend = f"\n  mend: {self.mend}" if self.mend else ""
        return f"{place}{self.found}{mend}"


class ConfigError(DilmacError):
    """A flag or a recipe key that is unknown, missing, or out of range."""


class InputError(DilmacError):
    """A file that is missing, empty, damaged, or not what it should be."""


class ArtifactError(DilmacError):
    """An artifact folder that is incomplete, in use, or made from other inputs."""


class UnreadableInputError(InputError):
    """An input that cannot be read now: a fault of the disk or the network, not of its content."""


class MissingDependencyError(DilmacError):
    """An optional package is not installed."""


class DiskFullError(DilmacError):
    """No space left on the disk that an artifact is written to."""


class EngineError(DilmacError):
    """An engine process died, hung, or refused a request."""


class ParityError(DilmacError):
    """An export that does not equal its source."""


FULL_BELOW_BYTES = 1 << 20  # a disk with less room than this is full


@contextmanager
def disk_full_explained(where: Path) -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" into a `DiskFullError` that names `where`.

    Libraries written in C++ or Rust (SentencePiece, safetensors, numpy, torch) report a full disk
    in words of their own, so what counts beside the error's number is the room that is left.
    """
    try:
        yield
    except DilmacError:
        raise
    except Exception as error:
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if not (is_full or "No space left" in str(error) or _room_left(where) < FULL_BELOW_BYTES):
            raise
        raise DiskFullError(
            "the disk is full; nothing bears a final name that is not whole",
            where=where,
            mend="free some space or choose another --out, then run the same command again",
        ) from error


def _room_left(where: Path) -> int:
    """Free bytes of the disk under a path that need not exist yet."""
    existing = next(path for path in (where.absolute(), *where.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
