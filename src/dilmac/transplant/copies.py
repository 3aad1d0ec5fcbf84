"""Shards without any table: copied whole, beside everything else that a transplant does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import BinaryIO

from dilmac.core import HashedFile, InputError, Later, sha256_of

# A buffer that stays in the processor's cache: with 64 MB, each read into fresh pages, copying
# takes five times the CPU (benchmarks/RESULTS.md).
COPY_BYTES = 1 << 20


Copies = Later[dict[Path, str]]  # SHA-256 of what was copied, by its new path


class _Ended(Exception):  # noqa: N818 (no error: nobody waits for the copies any more)
    """What the copies were for has failed, or was interrupted."""


@contextmanager
def copying(shards: Mapping[Path, Path], *, link: bool) -> Iterator[Copies]:
    """Copy shards (or hard-link them) while the block goes on.

    `shards` maps old paths to new ones. Plan and tokenizers take seconds of one core in which the
    disk would be idle, and two streams together are quicker than one after the other. Nothing is
    written any more when the block has ended, however it did.
    """
    is_over = Event()

    def copy() -> dict[Path, str]:
        return {new: copied(old, new, link=link, is_over=is_over) for old, new in shards.items()}

    copies = Later(copy)
    try:
        yield copies
    finally:
        is_over.set()
        with suppress(BaseException):  # who asked for them was told
            copies.result()


def copied(shard: Path, target: Path, *, link: bool, is_over: Event | None = None) -> str:
    """Copy a shard whole, or with `link` hard-link it where the file system can; its SHA-256."""
    if link and _is_linked(shard, target):
        return sha256_of(target)
    with shard.open("rb") as old, HashedFile(target) as new:
        copy_bytes(old, new, 0, shard.stat().st_size, is_over)
        return new.sha256


def _is_linked(shard: Path, target: Path) -> bool:
    try:
        os.link(shard.resolve(), target)
    except OSError:  # another file system
        return False
    return True


def copy_bytes(
    old: BinaryIO, new: HashedFile, start: int, end: int, is_over: Event | None = None
) -> None:
    """Copy the bytes from `start` to `end`; ends early where `is_over` is set.

    Raises:
        InputError: the file became shorter.
    """
    old.seek(start)
    while start < end:
        if is_over and is_over.is_set():
            raise _Ended
        data = old.read(min(COPY_BYTES, end - start))
        if not data:
            raise InputError("became shorter while it was read", where=old.name)
        new.write(data)
        start += len(data)
