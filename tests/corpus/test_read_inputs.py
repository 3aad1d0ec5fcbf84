"""Which sources the inputs name: each real file once, in order, and nothing left out in silence."""

import os
import socket
import sys
from pathlib import Path

import pytest

from dilmac.core import InputError, MissingDependencyError
from dilmac.corpus import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read import Source, find_sources, input_identity, read_file, read_source
from dilmac.corpus.read.web import open_page


def config(*inputs: object, **settings: object) -> CorpusConfig:
    names = tuple(map(str, inputs))
    return CorpusConfig.model_validate({"inputs": names, "out": "unused", **settings})


def names(*inputs: object) -> list[str]:
    return [Path(source.place).name for source in find_sources(config(*inputs))]


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("Bir satır.\n", encoding="utf-8")


def test_sources_come_in_the_order_of_the_inputs_each_once(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.txt", "b/1.md", "a.jsonl", "c/tr.txt.xz", "c/x.warc.gz", "c/y.htm.zst")
    assert names(tmp_path / "c", tmp_path / "b", tmp_path / "a.jsonl", tmp_path) == [
        *("tr.txt.xz", "x.warc.gz", "y.htm.zst"),
        *("1.md", "2.txt", "a.jsonl"),
    ]
    kinds = {Path(s.place).name: s.kind for s in find_sources(config(tmp_path))}
    assert kinds["tr.txt.xz"] == "text"
    assert kinds["x.warc.gz"] == "warc"
    assert kinds["y.htm.zst"] == "html"


def test_links_add_nothing_and_a_circle_of_folders_ends(tmp_path: Path) -> None:
    touch(tmp_path, "in/one.txt", "outside/two.txt")
    for link, target in {
        "in/same.txt": "one.txt",
        "in/sub": "../outside",
        "outside/back": "../in",
        "in/self": ".",
        "outside/up": "..",
    }.items():
        (tmp_path / link).symlink_to(target)
    assert names(tmp_path / "in") == ["one.txt", "two.txt"]
    # With four links, glob's own `**` would go through some 4^40 paths.
    assert names(f"{tmp_path}/**/*.txt") == ["one.txt", "two.txt"]
    assert names(f"{tmp_path}/i*/**/two.txt") == ["two.txt"]


def test_pipes_sockets_and_devices_are_never_opened(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "one.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    monkeypatch.chdir(tmp_path)  # a socket's path may have 108 bytes
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket.jsonl")
    listener.close()
    for name, kind in (("pipe.txt", "a pipe"), ("socket.jsonl", "a socket")):
        with pytest.raises(InputError, match=f"is {kind}, not a file"):
            find_sources(config(tmp_path / name))
        with pytest.raises(InputError, match=f"is {kind}, not a file"):
            list(read_source(Source(str(tmp_path / name)), config("x", documents="file")))
    with pytest.raises(InputError, match="is a device"):
        find_sources(config("/dev/zero"))
    assert names(tmp_path) == ["one.txt"]
    said = " ".join(capfd.readouterr().err.split())
    assert "pipe.txt (a pipe)" in said and "socket.jsonl (a socket)" in said


def test_what_a_glob_leaves_out_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "a.txt", "a.csv", "b.pdf", "c.docx", "d.xls", ".hidden.txt")
    (tmp_path / "gone.txt").symlink_to("nowhere")
    assert names(tmp_path / "*") == ["a.txt"]
    said = " ".join(capfd.readouterr().err.split())
    assert "a.csv (no reader)" in said and "b.pdf (no reader)" in said and "and 2 more" in said
    with pytest.raises(InputError, match=r"nothing that can be read: .*a\.csv \(no reader\)"):
        find_sources(config(tmp_path / "*.csv"))
    with pytest.raises(InputError, match="no such file or folder"):
        find_sources(config(tmp_path / "**/*.json"))
    with pytest.raises(InputError, match="no such file or folder"):
        find_sources(config("nowhere/**/*.json"))
    with pytest.raises(InputError, match=r"no reader for \.pdf"):
        find_sources(config(tmp_path / "b.pdf"))


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    bad = os.fsencode(tmp_path) + b"/haber\xff.txt"
    with open(bad, "wb") as file:  # noqa: PTH123
        file.write(b"Bir.\n")
    with pytest.raises(InputError, match="rename") as caught:
        find_sources(config(tmp_path))
    str(caught.value).encode()


def test_a_file_that_disappears_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.jsonl", "c.warc", "d.html", "e.parquet")
    sources = find_sources(config(tmp_path))
    for source in sources:
        Path(source.place).unlink()
        with pytest.raises(InputError, match="no such file") as caught:
            list(read_source(source, config("x")))
        assert caught.value.where == source.place
        with pytest.raises(InputError):
            input_identity(source)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.html", "a.warc", "a.txt.xz", "a.warc.zst"])
def test_a_file_of_no_bytes_holds_no_document(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    found = list(read_file(tmp_path / name, config("x")))
    found = [open_page(record) if isinstance(record, Document) else record for record in found]
    assert not [record for record in found if isinstance(record, Document)]
    assert [record.reason for record in found if isinstance(record, Reject)] == (
        ["no_main_text"] if name == "a.html" else []
    )


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("kind", ["txt", "jsonl", "html", "warc"])
def test_what_is_packed_by_name_only_is_damaged(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"a.{kind}{suffix}"
    path.write_bytes(b"Bu dosya paketli degil.\n")
    with pytest.raises(InputError, match="damaged or truncated"):
        list(read_file(path, config("x")))


@pytest.mark.parametrize(("name", "package"), [("a.html", "trafilatura"), ("a.warc", "warcio")])
def test_a_missing_package_is_named_before_the_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    touch(tmp_path, "a.txt", name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'dilmac\[web\]'"):
        find_sources(config(tmp_path))
    assert names(tmp_path / "a.txt") == ["a.txt"]
