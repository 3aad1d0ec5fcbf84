"""SHA-256 of files: of those that lie there, and of new ones while they are written."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashedFile:
    """A new file whose SHA-256 is known when it is written: it need not be read again for it.

    A thread hashes what is written while the next is read; so what is handed to `write` must not
    be changed afterwards.
    """

    WAITING = 8  # buffers between writer and hasher

    def __init__(self, path: Path):
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes (a buffer of one dimension)."""
        self._waiting.append(self._hasher.submit(self._hash.update, data))
        self._file.write(data)
        if len(self._waiting) > self.WAITING:
            self._waiting.popleft().result()

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._hasher.shutdown()
        self._file.close()

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of all that was written; waits for the thread."""
        for hashed in self._waiting:
            hashed.result()
        return self._hash.hexdigest()
