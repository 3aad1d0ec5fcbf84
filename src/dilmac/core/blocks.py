"""Bytes out of files, plain or packed, in bounded blocks; what is damaged or cut off is named."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dilmac.core.errors import InputError, UnreadableInputError

BLOCK_BYTES = 1 << 20
MAX_XZ_BYTES = 256 << 20  # memory of an xz dictionary; `xz -9` takes 65 MiB
PACKED_SUFFIXES = (".gz", ".zst", ".xz")


def irregular(path: Path) -> str | None:
    """What a path is that is no file: opening a pipe would wait for ever, a device never ends."""
    if path.is_file():
        return None
    if not path.exists():
        return "a dead link"
    kinds = {"a pipe": Path.is_fifo, "a socket": Path.is_socket, "a folder": Path.is_dir}
    return next((kind for kind, is_kind in kinds.items() if is_kind(path)), "a device")


def read_blocks(path: Path) -> Iterator[bytes]:
    """Decompressed blocks of a file, none of them empty or longer than `BLOCK_BYTES`.

    Raises:
        InputError: the file is missing, unreadable, damaged, or ends too early.
    """
    unpack = {".gz": _read_gzip, ".xz": _read_xz, ".zst": _read_zstd}
    try:
        if path.exists() and (fault := irregular(path)):
            raise InputError(f"is {fault}, not a file", where=path)
        with path.open("rb") as raw:
            yield from filter(None, unpack.get(path.suffix.lower(), _read_plain)(raw))
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, _DamagedError) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise UnreadableInputError(
            f"cannot be read ({error.strerror or error})", where=path
        ) from error


class _DamagedError(Exception):
    """What pyarrow calls an OSError, as it does a disk's fault."""


def _read_plain(raw: BinaryIO) -> Iterator[bytes]:
    while block := raw.read(BLOCK_BYTES):
        yield block


def _read_gzip(raw: BinaryIO) -> Iterator[bytes]:
    with gzip.open(raw, "rb") as unpacked:
        while block := unpacked.read(BLOCK_BYTES):
            yield block


def _read_xz(raw: BinaryIO) -> Iterator[bytes]:
    # Not lzma.open, which would take as much memory as the file's header asks for.
    stream = lzma.LZMADecompressor(memlimit=MAX_XZ_BYTES)
    packed = raw.read(BLOCK_BYTES)
    if not packed:
        return
    while packed or not stream.eof:
        yield stream.decompress(packed, BLOCK_BYTES)
        packed = b""
        if stream.eof:  # another stream may follow, after zeros that fill up to four bytes
            rest = stream.unused_data
            while not (packed := rest.lstrip(b"\0")) and (rest := raw.read(BLOCK_BYTES)):
                pass
            if packed:
                stream = lzma.LZMADecompressor(memlimit=MAX_XZ_BYTES)
        elif stream.needs_input and not (packed := raw.read(BLOCK_BYTES)):
            raise EOFError("the xz stream is cut off")


def _read_zstd(raw: BinaryIO) -> Iterator[bytes]:
    # Not zstandard: its stream reader ends silently where the file was cut, and its frame-wise
    # decompressor, which tells, returns a gigabyte at once where 32 kB say so.
    import pyarrow

    with pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd") as unpacked:
        while True:
            try:
                block = unpacked.read(BLOCK_BYTES)
            except OSError as error:
                if error.errno:
                    raise
                raise _DamagedError(str(error)) from error
            if not block:
                return
            yield block


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(
        f"damaged or truncated ({detail.lower()})",
        where=path,
        mend="fetch or pack the file again; `zstd -t`, `gzip -t` or `xz -t` tests it",
    )
