"""What a folder holds, by content: size and SHA-256 of every file, and one digest of all."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel

from dilmac.core.hashed import sha256_of
from dilmac.core.machine import num_cpus

MANIFEST = "artifact.json"
REQUEST = "request.json"
# Files that hold times of day: not part of an artifact's digest.
VOLATILE = frozenset({MANIFEST, REQUEST, "events.jsonl", "report.html", "curves.html"})
VOLATILE_FOLDERS = frozenset({"tensorboard"})


class InputRecord(BaseModel):
    """An input by its content: two machines with the same bytes have the same record."""

    name: str
    sha256: str
    num_bytes: int


class FileRecord(BaseModel):
    """One file of an artifact."""

    num_bytes: int
    sha256: str


def record_files(
    folder: Path,
    *,
    without: Collection[str] = (),
    hashes: Mapping[str, str] | None = None,
) -> dict[str, FileRecord]:
    """Size and SHA-256 of every file below `folder` that repeats exactly.

    `without` names files and folders directly in it that are left out; files in `hashes`, by their
    names in it, are not read.
    """
    known = dict(hashes or {})
    left_out = VOLATILE_FOLDERS.union(without)
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    kept = {
        name: path
        for name, path in found.items()
        if name.split("/")[0] not in left_out and name not in VOLATILE and path.is_file()
    }
    # Hashing lets go of the interpreter: the shards of a large model are hashed side by side.
    with ThreadPoolExecutor(num_cpus()) as threads:
        read = {name: path for name, path in kept.items() if name not in known}
        known |= zip(read, threads.map(sha256_of, read.values()), strict=True)
    return {
        name: FileRecord(num_bytes=path.stat().st_size, sha256=known[name])
        for name, path in kept.items()
    }


def digest_of(files: dict[str, FileRecord]) -> str:
    """One SHA-256 over the names and contents of an artifact."""
    lines = "".join(f"{name}\0{record.sha256}\n" for name, record in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
