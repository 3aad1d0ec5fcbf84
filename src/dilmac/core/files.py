"""Text in and out, streamed: plain or compressed lines, JSONL, parquet, folders and globs.

Memory stays bounded by one block and one line, whatever the size of the file.
"""

from __future__ import annotations

import codecs
import glob
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from dilmac.core.blocks import BLOCK_BYTES, PACKED_SUFFIXES, irregular, read_blocks
from dilmac.core.errors import InputError
from dilmac.core.progress import say

BATCH_ROWS = 512  # of a table in memory at once
MAX_LINE_BYTES = 64 << 20  # a longer line is no text document; it is reported, not loaded

FORMATS = {
    "text": (".txt", ".text", ".md"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet",),
}


class Line(NamedTuple):
    """One line of a file: its number from 1, and its bytes without the line end.

    `data` is None where the line is longer than `MAX_LINE_BYTES`.
    """

    number: int
    data: bytes | None


def file_format(path: Path, formats: Mapping[str, tuple[str, ...]] = FORMATS) -> str:
    """The format (`text`, `jsonl`, `parquet`) by the suffix under any compression.

    Raises:
        InputError: no reader knows the suffix.
    """
    name = path.name.lower()
    for suffix in PACKED_SUFFIXES:
        name = name.removesuffix(suffix)
    for kind, suffixes in formats.items():
        if name.endswith(suffixes):
            return kind
    raise InputError(
        f"no reader for {path.suffix or 'a file without suffix'}",
        where=path,
        mend=f"give {_suffixes(formats)}",
    )


def _suffixes(formats: Mapping[str, tuple[str, ...]]) -> str:
    """What is read, for a message."""
    known = " ".join(suffix for suffixes in formats.values() for suffix in suffixes)
    return f"{known} (plain, .gz, .zst or .xz)"


def expand_inputs(
    patterns: Iterable[str | Path], formats: Mapping[str, tuple[str, ...]] = FORMATS
) -> list[Path]:
    """Files behind files, folders (searched below, links followed) and globs, in a stable order.

    Each file comes once, whatever paths and links lead to it. What a folder or a glob holds and no
    reader knows is left out with a note.

    Raises:
        InputError: a pattern matches nothing, or nothing that can be read; a named file is a pipe,
            a socket or a device.
    """
    found: dict[Path, Path] = {}  # by real path, so that a link adds nothing
    left_out: list[str] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.exists() and not path.is_dir():
            if fault := irregular(path):
                mend = "write its content into a file and give that"
                raise InputError(f"is {fault}, not a file", where=path, mend=mend)
            file_format(path, formats)
            found.setdefault(path.resolve(), path)
            continue
        names = [path] if path.is_dir() else _matches(path)
        faults = {file: _unreadable(file, formats) for name in names for file in _files_of(name)}
        known = [file for file, fault in faults.items() if not fault]
        unknown = [f"{file} ({fault})" for file, fault in faults.items() if fault]
        if not known:
            raise _nothing_found(pattern, path.is_dir(), unknown, _suffixes(formats))
        left_out += unknown
        for file in known:
            found.setdefault(file.resolve(), file)
    if left_out:
        say(f"left out, not read: {_first_of(left_out)}")
    return list(found.values())


def _nothing_found(
    pattern: str | Path, is_folder: bool, unknown: list[str], known: str
) -> InputError:
    found = "holds no file that is read" if is_folder else "no such file or folder"
    if unknown:
        found = f"holds nothing that can be read: {_first_of(unknown)}"
    return InputError(found, where=pattern, mend=f"check the path; what is read: {known}")


def _first_of(names: list[str], count: int = 3) -> str:
    more = f" and {len(names) - count:,} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _matches(pattern: Path) -> list[Path]:
    """What a glob matches; `**` goes into each folder once, which glob's own does not."""
    parts = pattern.parts
    if "**" not in parts:
        return [Path(name) for name in sorted(glob.glob(str(pattern)))]  # noqa: PTH207
    place = parts.index("**")
    rest = Path(*parts[place + 1 :])
    matches: list[Path] = []
    for top in _matches(Path(*parts[:place])) if place else [Path()]:
        for folder, _ in _walk(top) if top.is_dir() else ():
            deeper = Path(glob.escape(str(folder))) / rest
            matches += _matches(deeper) if rest.parts else [folder]
    return matches


def _files_of(path: Path) -> list[Path]:
    """The file itself, or the files in a folder and below."""
    if not path.is_dir():
        return [] if path.name.startswith(".") else [path]
    return sorted(file for folder, names in _walk(path) for file in map(folder.joinpath, names))


def _walk(top: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders and the names in them, hidden ones apart; each once, as links can make a circle.

    Raises:
        InputError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"cannot be read ({error.strerror})", where=error.filename, mend="check its permissions"
        ) from error

    seen: set[str] = set()
    for folder, folders, names in os.walk(top, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))


def _unreadable(path: Path, formats: Mapping[str, tuple[str, ...]]) -> str | None:
    """Why a file in a folder is left out."""
    if fault := irregular(path):
        return fault
    try:
        file_format(path, formats)
    except InputError:
        return "no reader"
    return None


def read_lines(path: Path) -> Iterator[Line]:
    """Lines of a file; UTF-8 and UTF-16 byte order marks are taken away.

    Raises:
        InputError: see `read_blocks`.
    """
    number, too_long = 0, False
    begun: list[bytes] = []  # pieces of a line that goes on; joined once, when it ends
    size = 0
    for block in _as_utf8(read_blocks(path)):
        first, *others = block.split(b"\n")
        if not too_long:
            begun.append(first)
            size += len(first)
            if size > MAX_LINE_BYTES:
                begun, size, too_long = [], 0, True
        if not others:
            continue
        number += 1
        yield Line(number, None if too_long else b"".join(begun).removesuffix(b"\r"))
        too_long = False
        last = others.pop()
        for line in others:
            number += 1
            yield Line(number, line.removesuffix(b"\r"))
        begun, size = [last], len(last)
    if too_long or size:
        yield Line(number + 1, None if too_long else b"".join(begun).removesuffix(b"\r"))


def _as_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    while len(first) < len(codecs.BOM_UTF8) and (block := next(blocks, b"")):
        first += block
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
    path: Path, columns: list[str] | None = None, *, optional: Iterable[str] = ()
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a parquet file as (row number from 1, values), a batch in memory at a time.

    Of the `optional` columns those that are there are read, too. A text that is no UTF-8 comes as
    its bytes.

    Raises:
        InputError: no parquet, or a column is missing (the message lists those there are).
    """
    import pyarrow
    import pyarrow.parquet

    try:
        # Without a buffer size a whole row group, which may be the whole file, would be loaded.
        table = pyarrow.parquet.ParquetFile(path, buffer_size=BLOCK_BYTES, pre_buffer=False)
        names = table.schema_arrow.names
        missing = [name for name in columns or [] if name not in names]
        if missing:
            raise InputError(
                f"no column {missing[0]!r}", where=path, mend=f"columns there: {', '.join(names)}"
            )
        wanted = columns and [*columns, *(name for name in optional if name in names)]
        number = 0
        for batch in table.iter_batches(
            batch_size=BATCH_ROWS, columns=wanted and list(dict.fromkeys(wanted))
        ):
            for row in _rows_of(batch):
                number += 1
                yield number, row
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"no readable parquet ({error})", where=path) from error


def _rows_of(batch: Any) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError:
        columns = {
            name: [_value_of(cell) for cell in batch.column(name)] for name in batch.schema.names
        }
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
    return rows


def _value_of(cell: Any) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError as error:
        return error.object


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
        self.write_line(data)

    def write_line(self, line: bytes) -> None:
        """Write an object that is JSON already."""
        self._stream.write(line + b"\n")
        self.num_objects += 1
        self.num_text_bytes += len(line) + 1

    def close(self) -> None:
        self._stream.close()
        self._file.close()


def remove_whole(folder: Path) -> None:
    """Remove a folder so that a kill in between leaves it whole or gone, never half."""
    gone = folder.with_name(f".{folder.name.lstrip('.')}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.exists():
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


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


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object; empty where there is none.

    Raises:
        InputError: it is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"no JSON ({error})", where=path) from error
    if not isinstance(found, dict):
        raise InputError("no JSON object", where=path)
    return found
