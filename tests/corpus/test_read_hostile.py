"""Hostile files: read to the end in bounded time and memory, measured in a process of their own."""

import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard

# 60 MB is what Python and the readers themselves take; a line may have 64 MiB.
READ = """
import json, resource, sys
from pathlib import Path
from dilmac.corpus import CorpusConfig
from dilmac.corpus.document import Reject
from dilmac.corpus.read import read_file

counts, chars = {}, 0
before = resource.getrusage(resource.RUSAGE_SELF)
for record in read_file(Path(sys.argv[1]), CorpusConfig(inputs=("x",), out="unused")):
    fate = record.reason if isinstance(record, Reject) else "document"
    counts[fate] = counts.get(fate, 0) + 1
    chars += len(record.text)
usage = resource.getrusage(resource.RUSAGE_SELF)
seconds = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
# Not ru_maxrss, which a child takes over from its parent.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
mb = int(peak.split()[1]) >> 10
print(json.dumps({"counts": counts, "chars": chars, "mb": mb, "s": seconds}))
"""
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc"
)
Opener = Callable[[Path], Any]


def zstd_file(path: Path) -> Any:
    return zstandard.open(path, "wb")


def gzip_file(path: Path) -> Any:
    return gzip.open(path, "wb", compresslevel=1)


def xz_file(path: Path) -> Any:
    return lzma.open(path, "wb", preset=0)


def measure(path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def repeat(file: BinaryIO, block: bytes, times: int) -> None:
    for _ in range(times):
        file.write(block)


@pytest.mark.parametrize("name", ["a.txt.zst", "a.jsonl.zst", "a.txt.gz", "a.jsonl.xz"])
def test_a_line_of_a_gigabyte_takes_seconds_and_no_memory(tmp_path: Path, name: str) -> None:
    # The same claim a quarter as large where packing would take most of the test's time.
    openers: dict[str, tuple[Opener, int]] = {
        ".zst": (zstd_file, 1024),
        ".gz": (gzip_file, 256),
        ".xz": (xz_file, 256),
    }
    path = tmp_path / name
    open_file, megabytes = openers[path.suffix]
    with open_file(path) as file:
        file.write(b'{"text": "ilk"}\n\n')
        repeat(file, b"x" * (1 << 20), megabytes)
        file.write(b'\n\n{"text": "son"}\n')
    assert path.stat().st_size < 4 << 20
    result = measure(path)
    assert result["counts"] == {"document": 2, "line_too_long": 1}
    assert result["mb"] < 250
    assert result["s"] < 20


def test_ten_million_empty_lines_take_seconds(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.zst"
    with zstd_file(path) as file:
        repeat(file, b"\n" * 1_000_000, 5)
        repeat(file, b"\r\n" * 1_000_000, 5)
        file.write("son satır".encode())
    result = measure(path)
    assert result["counts"] == {"document": 1} and result["chars"] == 9
    assert result["mb"] < 300
    assert result["s"] < 20  # 3 seconds on an idle machine


@pytest.mark.parametrize(("name", "open_file"), [("b.txt.gz", gzip_file), ("b.txt.xz", xz_file)])
def test_a_bomb_of_short_lines_is_streamed(tmp_path: Path, name: str, open_file: Opener) -> None:
    path = tmp_path / name
    line = "Aynı satır, bir daha, bir daha.\n\n".encode()
    with open_file(path) as file:
        repeat(file, line * 10_000, 100)
    assert path.stat().st_size < 2 << 20
    result = measure(path)
    assert result["counts"] == {"document": 1_000_000}
    assert result["mb"] < 200


def test_an_xz_file_may_not_ask_for_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.xz"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1536 << 20}]
    packer = lzma.LZMACompressor(filters=filters)
    # The size stands in the header: 1.5 GB are asked for, whatever follows.
    path.write_bytes(packer.compress(b"x") + packer.flush())
    done = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, check=False
    )
    assert "InputError" in done.stderr and "emory" in done.stderr


def test_a_row_group_of_half_a_gigabyte_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    text = "Uzun bir metnin bir parçası. " * 350
    count = 40_000
    table = pa.table({"text": pa.array(f"{n} {text}" for n in range(count))})
    pyarrow.parquet.write_table(table, path, row_group_size=count, compression="zstd")
    del table
    result = measure(path)
    assert result["counts"] == {"document": count}
    assert result["chars"] > 400_000_000
    assert result["mb"] < 300


def test_reading_is_quick(tmp_path: Path) -> None:
    """A floor far below what was measured (240 MB/s of JSONL, 160 of text), for busy machines."""
    line = "Vapur sabah sisinde iskeleyi zor buldu; kaptan çan çaldırdı, martılar kaçıştı. " * 20
    (tmp_path / "a.txt").write_text(f"{line}\n\n" * 20_000, encoding="utf-8")
    record = json.dumps({"id": "x", "text": line}, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_text(f"{record}\n" * 20_000, encoding="utf-8")
    for name in ("a.txt", "a.jsonl"):
        result = measure(tmp_path / name)
        assert result["counts"] == {"document": 20_000}
        assert (tmp_path / name).stat().st_size / 1e6 / result["s"] > 40
        assert result["mb"] < 150
