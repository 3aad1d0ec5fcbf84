"""Plain text: paragraphs, lines and files; encodings; what is no text; sizes."""

import gzip
import lzma
import random
import sys
from pathlib import Path

import pytest
import zstandard

from dilmac.corpus import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read import read_file, text

PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
PARAGRAPHS = [
    "Sabah vapuru iskeleye yanaştı.\nÇaylar soğumadan yolcular indi.",
    "Öğle olunca şehir ısındı; ığdır kayısısı satan çocuk gölgeye geçti.",
    "İşte akşam:\n  ışıklar yandı,\nsokak sustu.",
]


def read(path: Path, documents: str = "paragraphs") -> tuple[list[Document], list[Reject]]:
    values = {"inputs": ("x",), "out": "unused", "documents": documents}
    found = list(read_file(path, CorpusConfig.model_validate(values)))
    rejects = [record for record in found if isinstance(record, Reject)]
    return [record for record in found if isinstance(record, Document)], rejects


@pytest.mark.parametrize("suffix", sorted(PACKERS))
def test_cc100_is_read_with_its_lines(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tr.txt{suffix}"
    path.write_bytes(PACKERS[suffix](("\n\n".join(PARAGRAPHS) + "\n\n").encode()))
    documents, rejects = read(path)
    assert [document.text for document in documents] == PARAGRAPHS
    assert [document.id for document in documents] == [f"{path.name}:{n}" for n in (1, 4, 6)]
    assert {document.source for document in documents} == {"tr"}
    assert not rejects


def test_units_are_paragraphs_lines_or_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n\n \n" + "\n \n\n".join(PARAGRAPHS), encoding="utf-8")
    assert [document.text for document in read(path)[0]] == PARAGRAPHS
    lines = [line for paragraph in PARAGRAPHS for line in paragraph.split("\n")]
    assert [document.text for document in read(path, "lines")[0]] == lines
    (whole,) = read(path, "file")[0]
    assert whole.text == "\n \n\n".join(PARAGRAPHS) and whole.id == "a.txt:4"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1254"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\r\n\r\n".join(PARAGRAPHS).replace("\n", "\r\n").encode(encoding))
    text_found = [document.text.replace("\r", "") for document in read(path)[0]]
    assert text_found == PARAGRAPHS


def test_a_scratch_in_utf8_costs_a_letter_not_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    data = PARAGRAPHS[1].encode()
    path.write_bytes(data.replace("ö".encode(), b"\xc3", 1)[:-3] + b"\xff\n\n" + data)
    scratched, whole = (document.text for document in read(path)[0])
    assert scratched.startswith("Öğle olunca şehir ısındı; ığdır kayısısı satan çocuk g\ufffdlgeye")
    assert whole == PARAGRAPHS[1]


@pytest.mark.parametrize(
    "data",
    [
        random.Random(1).randbytes(300_000),
        b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(50_000),
        "Bu metin UTF-16, ama bunu söylemiyor.\n".encode("utf-16-le") * 500,
        gzip.compress("\n".join(PARAGRAPHS).encode() * 100),
        bytes(5000),
    ],
    ids=["random", "png", "utf-16 without mark", "gzip named .txt", "zeros"],
)
def test_a_file_that_is_no_text_is_one_reject(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    documents, (reject,) = read(path)
    assert not documents
    assert (reject.id, reject.reason, reject.source) == ("a.txt", "binary", "a")
    assert 0 < len(reject.text) <= 4 * text.SHOWN_BYTES
    reject.text.encode()


def test_binary_lines_in_a_text_are_rejected_a_stray_byte_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    noise = bytes(n % 10 for n in range(400) if n % 10 not in (9,))
    lines = [PARAGRAPHS[1].encode()] * 2000
    path.write_bytes(b"\n".join([*lines, b"ba\x00\xc5\x9fka", noise, "son satır".encode()]) + b"\n")
    (document,), (reject,) = read(path)
    assert (reject.id, reject.reason) == ("a.txt:2002", "binary")
    assert document.text.endswith("ba\0şka\nson satır") and document.id == "a.txt:1"


def test_a_paragraph_without_end_is_cut_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "MAX_DOCUMENT_BYTES", 100)
    path = tmp_path / "a.txt"
    lines = [f"{n}. satır burada biter" for n in range(20)]
    path.write_text("\n".join(lines), encoding="utf-8")
    documents, _ = read(path)
    assert "\n".join(document.text for document in documents).split("\n") == lines
    assert max(len(document.text.encode()) for document in documents) <= 130
    assert len(documents) > 4


def test_a_line_too_long_is_a_reject_between_its_neighbors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["dilmac.core.files"], "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(sys.modules["dilmac.core.blocks"], "BLOCK_BYTES", 100)
    path = tmp_path / "a.txt"
    path.write_bytes(b"ilk\n\n" + b"x" * 5000 + b"\n\nson\n")
    documents, (reject,) = read(path)
    assert [document.text for document in documents] == ["ilk", "son"]
    assert (reject.id, reject.reason) == ("a.txt:3", "line_too_long")
