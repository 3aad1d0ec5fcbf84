"""Reading and writing: streamed, whole, and wrong files are named."""

import codecs
import gzip
import hashlib
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import (
    HashedFile,
    InputError,
    JsonlWriter,
    blocks,
    expand_inputs,
    file_format,
    files,
    read_lines,
    read_measured_texts,
    read_table,
    written_whole,
)

PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
line = st.binary(max_size=40).filter(lambda data: b"\n" not in data and not data.endswith(b"\r"))


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(line, min_size=1, max_size=20), suffix=st.sampled_from(sorted(PACKERS)))
def test_lines_come_back_from_every_packing(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("f") / f"text.txt{suffix}"
    data = b"\n".join(lines) + b"\n"
    if data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return
    path.write_bytes(PACKERS[suffix](data))
    assert [found.data for found in read_lines(path)] == lines
    assert [found.number for found in read_lines(path)] == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"text.jsonl{suffix}"
    packed = PACKERS[suffix](b"".join(b"%d bir dize\n" % n for n in range(50_000)))
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(InputError, match="damaged or truncated") as caught:
        list(read_lines(path))
    assert caught.value.where == str(path)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("padding", [b"", bytes(8), bytes(3 << 20)])
def test_several_packed_streams_are_one_file(tmp_path: Path, suffix: str, padding: bytes) -> None:
    if padding and suffix == ".zst":
        pytest.skip("zstd knows no padding")
    path = tmp_path / f"text.txt{suffix}"
    pack = PACKERS[suffix]
    path.write_bytes(pack(b"") + pack(b"a\nb") + padding + pack(b"c\nd\n") + padding)
    assert [found.data for found in read_lines(path)] == [b"a", b"bc", b"d"]


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("tail", ["nonsense", "a", "half a stream"])
def test_what_follows_a_packed_stream_is_not_dropped(
    tmp_path: Path, suffix: str, tail: str
) -> None:
    path = tmp_path / f"text.txt{suffix}"
    pack = PACKERS[suffix]
    more = pack(b"abc" * 99)[:-9] if tail == "half a stream" else tail.encode()
    path.write_bytes(pack(b"a\n") + more)
    with pytest.raises(InputError, match="damaged or truncated"):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", sorted(PACKERS))
def test_blocks_are_never_larger_than_a_block(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    path = tmp_path / f"text.txt{suffix}"
    data = bytes(100_000) + b"end"
    path.write_bytes(PACKERS[suffix](data))
    found = list(blocks.read_blocks(path))
    assert b"".join(found) == data
    assert all(0 < len(block) <= 1000 for block in found)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_taken_away(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("ığdır\r\nşırnak".encode(encoding))
    assert [(found.data or b"").decode() for found in read_lines(path)] == ["ığdır", "şırnak"]


def test_a_line_too_long_is_reported_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    path = tmp_path / "text.txt"
    path.write_bytes(b"short\n" + b"x" * 5000 + b"\nlast\n")
    assert [found.data for found in read_lines(path)] == [b"short", None, b"last"]


def test_inputs_are_files_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b.txt", "a.jsonl.zst", "skip.bin", ".hidden.txt", "sub/c.parquet"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [path.name for path in expand_inputs([tmp_path, tmp_path / "b.txt"])]
    assert found == ["a.jsonl.zst", "b.txt", "c.parquet"]
    assert [path.name for path in expand_inputs([str(tmp_path / "**" / "*.txt")])] == ["b.txt"]
    for wrong in ("nowhere", "*.csv", "skip.bin"):
        with pytest.raises(InputError):
            expand_inputs([tmp_path / wrong])


def test_what_cannot_be_found_says_what_would_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file or folder\n.*\.parquet \(plain, \.gz"):
        expand_inputs([tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"holds no file that is read\n.*: \.jsonl \(plain"):
        expand_inputs([tmp_path], {"jsonl": (".jsonl",)})


def test_formats_are_told_by_suffix() -> None:
    assert file_format(Path("A.TXT.GZ")) == "text"
    assert file_format(Path("a.jsonl.zst")) == "jsonl"
    assert file_format(Path("a.parquet")) == "parquet"


def test_tables_are_read_by_column(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"text": ["bir", "iki"], "n": [1, 2]}), path)
    assert list(read_table(path, ["text"])) == [(1, {"text": "bir"}), (2, {"text": "iki"})]
    with pytest.raises(InputError, match=r"no column 'body'(.|\n)*text, n"):
        list(read_table(path, ["body"]))


def test_jsonl_is_written_the_same_each_time_and_keeps_surrogates(tmp_path: Path) -> None:
    values = [{"text": "ığüşöç"}, {"text": "yarım \ud800"}]
    for name in ("a", "b"):
        writer = JsonlWriter(tmp_path / f"{name}.jsonl.zst")
        for value in values:
            writer.write(value)
        writer.close()
    assert (tmp_path / "a.jsonl.zst").read_bytes() == (tmp_path / "b.jsonl.zst").read_bytes()
    assert [json.loads(row.data or b"") for row in read_lines(tmp_path / "a.jsonl.zst")] == values


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    with pytest.raises(RuntimeError), written_whole(path, "w") as file:
        file.write("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("a.jsonl", b'{"text": "x"}\n{bad\n', r"a\.jsonl:2: no JSON"),
        ("a.jsonl", b'{"text": "x"}\n[]\n', r"a\.jsonl:2: no JSON object"),
        ("a.jsonl", b'{"body": "x"}\n', r"a\.jsonl:1: no text(.|\n)*fields there: body"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', r"a\.jsonl:1: a lone surrogate at character 0"),
        ("a.txt", b"ok\n\n\xff\xfe\xfd\n", r"a\.txt:3: no UTF-8"),
        ("a.txt", b"\n \n", "holds no text"),
    ],
)
def test_measured_texts_are_read_strictly(
    tmp_path: Path, name: str, data: bytes, fault: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=fault):
        list(read_measured_texts([tmp_path / name]))


def test_measured_texts_end_at_their_limit(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("bir\nsatır\n\niki\n\nüç\n", encoding="utf-8")
    assert list(read_measured_texts([tmp_path])) == ["bir\nsatır", "iki", "üç"]
    assert list(read_measured_texts([tmp_path], max_bytes=13)) == ["bir\nsatır", "iki"]


@settings(max_examples=30, deadline=None)
@given(parts=st.lists(st.binary(max_size=5000), max_size=40))
def test_a_hashed_file_holds_what_was_written_and_knows_its_hash(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("hashed") / "file"
    with HashedFile(path) as file:
        for number, part in enumerate(parts):
            file.write(memoryview(part) if number % 2 else part)
    data = b"".join(parts)
    assert path.read_bytes() == data and file.sha256 == hashlib.sha256(data).hexdigest()


def test_a_hashed_file_on_a_full_disk_says_so_and_ends() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("has no /dev/full")
    with pytest.raises(OSError, match="No space"), HashedFile(full) as file:
        file.write(b"x" * (1 << 20))
