"""Text in and out, streamed: plain or compressed lines, JSONL, parquet, folders and globs.

Memory stays bounded by one block and one line, whatever the size of the file.
"""

from __future__ import annotations

import codecs
import glob
import gzip
import hashlib
import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from dilmac.core.errors import InputError

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20  # a longer line is no text document; it is reported, not loaded

TEXT_SUFFIXES = (".txt", ".text", ".md")
JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json")
TABLE_SUFFIXES = (".parquet",)
PACKED_SUFFIXES = (".gz", ".zst", ".xz")


@dataclass(frozen=True)
class Line:
    """One line of a file: its number from 1, and its bytes without the line end.

    `data` is None where the line is longer than `MAX_LINE_BYTES`.
    """

    number: int
    data: bytes | None


def file_format(path: Path) -> str:
    """`text`, `jsonl` or `parquet`, told by the suffix under any compression.

    Raises:
        InputError: no reader knows the suffix.
    """
    name = path.name.lower()
    for suffix in PACKED_SUFFIXES:
        name = name.removesuffix(suffix)
    for kind, suffixes in (
        ("text", TEXT_SUFFIXES),
        ("jsonl", JSONL_SUFFIXES),
        ("parquet", TABLE_SUFFIXES),
    ):
        if name.endswith(suffixes):
            return kind
    raise InputError(
        f"no reader for {path.suffix or 'a file without suffix'}",
        where=path,
        mend="give .txt, .md, .jsonl (plain, .gz, .zst or .xz) or .parquet",
    )


def expand_inputs(patterns: Iterable[str | Path]) -> list[Path]:
    """Files behind files, folders (searched below) and globs, each once, in a stable order.

    Raises:
        InputError: a pattern matches nothing, or a folder holds no readable file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_file():
            file_format(path)
            matches = [path]
        elif path.is_dir():
            matches = [file for file in sorted(path.rglob("*")) if _is_readable(file)]
        else:
            matches = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207
            matches = [file for file in matches if _is_readable(file)]
        if not matches:
            kind = "holds no text file" if path.is_dir() else "no such file or folder"
            raise InputError(
                kind, where=pattern, mend="check the path; see `dilmac corpus build -h`"
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def _is_readable(path: Path) -> bool:
    if not path.is_file() or path.name.startswith("."):
        return False
    try:
        file_format(path)
    except InputError:
        return False
    return True


def read_blocks(path: Path) -> Iterator[bytes]:
    """Decompressed blocks of a file.

    Raises:
        InputError: the file is missing, unreadable, damaged, or ends too early.
    """
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as raw:
            if suffix == ".zst":
                yield from _read_zstd(raw, path)
            elif suffix in openers:
                with openers[suffix](raw, "rb") as unpacked:
                    while block := unpacked.read(BLOCK_BYTES):
                        yield block
            else:
                while block := raw.read(BLOCK_BYTES):
                    yield block
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=path) from error


def _read_zstd(raw: BinaryIO, path: Path) -> Iterator[bytes]:
    # zstandard's own stream reader ends silently where the file was cut; the frame-wise
    # decompressor says whether each frame was whole.
    context = zstandard.ZstdDecompressor()
    frame = context.decompressobj()
    inside = False
    while block := raw.read(BLOCK_BYTES):
        while block:
            inside = True
            yield frame.decompress(block)
            if not frame.eof:
                break
            block = frame.unused_data
            frame = context.decompressobj()
            inside = False
    if inside:
        raise _damaged(path, "the last zstd frame is cut off")


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(
        f"damaged or truncated ({detail.lower()})",
        where=path,
        mend="fetch or pack the file again; `zstd -t`, `gzip -t` or `xz -t` tests it",
    )


def read_lines(path: Path) -> Iterator[Line]:
    """Lines of a file; UTF-8 and UTF-16 byte order marks are taken away.

    Raises:
        InputError: see `read_blocks`.
    """
    number, rest, too_long = 0, b"", False
    for block in _as_utf8(read_blocks(path)):
        parts = (rest + block).split(b"\n")
        rest = parts.pop()
        for part in parts:
            number += 1
            yield Line(number, None if too_long else part.removesuffix(b"\r"))
            too_long = False
        if len(rest) > MAX_LINE_BYTES:
            rest, too_long = b"", True
    if rest or too_long:
        yield Line(number + 1, None if too_long else rest.removesuffix(b"\r"))


def _as_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(blocks, b"")
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if first.startswith(mark):
            decoder = codecs.getincrementaldecoder(encoding)("replace")
            yield decoder.decode(first[2:]).encode("utf-8", "replace")
            for block in blocks:
                yield decoder.decode(block).encode("utf-8", "replace")
            return
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from blocks


def read_table(
    path: Path, columns: list[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a parquet file as (row number from 1, values), a batch in memory at a time.

    Raises:
        InputError: no parquet, or a column is missing (the message lists those there are).
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
        names = table.schema_arrow.names
        missing = [name for name in columns or [] if name not in names]
        if missing:
            raise InputError(
                f"no column {missing[0]!r}", where=path, mend=f"columns there: {', '.join(names)}"
            )
        number = 0
        for batch in table.iter_batches(batch_size=512, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"no readable parquet ({error})", where=path) from error


class JsonlWriter:
    """Writes objects as zstd-packed JSON lines; the same objects give the same bytes.

    Lone surrogates (possible in rejected text) are written escaped, so nothing is lost.
    """

    def __init__(self, path: Path, level: int = 6):
        self.path = path
        self.num_objects = 0
        self.num_text_bytes = 0
        self._file = path.open("wb")
        self._stream: Any = zstandard.ZstdCompressor(level=level).stream_writer(self._file)

    def write(self, value: dict[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=False)
        try:
            data = line.encode()
        except UnicodeEncodeError:
            data = json.dumps(value, ensure_ascii=True).encode()
        self._stream.write(data + b"\n")
        self.num_objects += 1
        self.num_text_bytes += len(data) + 1

    def close(self) -> None:
        self._stream.close()
        self._file.close()


@contextmanager
def written_whole(path: Path, mode: str = "wb") -> Iterator[Any]:
    """Open a file beside `path` and rename it when the block ends well."""
    partial = path.with_name(f".{path.name}.partial")
    encoding = None if "b" in mode else "utf-8"
    try:
        with partial.open(mode, encoding=encoding) as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with written_whole(path, "w") as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.write("\n")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
