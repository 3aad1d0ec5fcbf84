"""Records: which field is what, and what becomes of each kind of bad line."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from dilmac.core import InputError
from dilmac.corpus import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read import read_file
from dilmac.corpus.read.records import license_name

TEXT = "Kışın göl donar, çocuklar üstünde kayar."


def read(path: Path, **settings: Any) -> list[Document | Reject]:
    values = {"inputs": ("x",), "out": "unused", **settings}
    return list(read_file(path, CorpusConfig.model_validate(values)))


def reasons(found: list[Document | Reject]) -> list[str]:
    return [record.reason if isinstance(record, Reject) else "" for record in found]


def test_fields_name_text_id_and_source(tmp_path: Path) -> None:
    path = tmp_path / "web.jsonl"
    records = [
        {"body": TEXT, "url": "https://www.haber.example:8080/a?b", "key": 7, "id": "x"},
        {"body": TEXT, "url": "ders notları", "key": None},
        {"body": TEXT, "url": "http://[bozuk/yol"},
        {"body": TEXT, "url": ""},
    ]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    found = read(path, text_field="body", source_field="url", id_field="key")
    assert [(record.id, record.source) for record in found] == [
        ("7", "www.haber.example"),
        ("web.jsonl:2", "ders notları"),
        ("web.jsonl:3", "[bozuk"),
        ("web.jsonl:4", "web"),
    ]
    assert read(path, text_field="body")[0].id == "x"


def test_a_source_field_that_is_not_there_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": TEXT}), encoding="utf-8")
    pyarrow.parquet.write_table(pa.table({"text": [TEXT]}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        (document,) = read(tmp_path / name, source_field="url")
        assert document.source == "a"
        assert "no field 'url'" in capfd.readouterr().err


LICENSES = {
    "MIT": "MIT",
    " CC-BY-SA\n4.0 ": "CC-BY-SA 4.0",
    "Unknown": "unknown",
    "": "unknown",
    "x" * 300: "x" * 200,
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_record_names_its_license_or_it_is_unknown(tmp_path: Path, name: str) -> None:
    stated = [*LICENSES, None]
    lines = [json.dumps({"text": TEXT, "license": value}) for value in stated]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    table = pa.table({"text": [TEXT] * len(stated), "license": stated})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    found = [record.license for record in read(tmp_path / name) if isinstance(record, Document)]
    assert found == [*LICENSES.values(), "unknown"]
    (first, *_) = read(tmp_path / name, license_field="terms")
    assert isinstance(first, Document) and first.license == "unknown"


@pytest.mark.parametrize(
    ("stated", "license"),
    [
        (["MIT", "CC0-1.0"], "MIT, CC0-1.0"),
        ([None, "MIT"], "MIT"),
        ([], "unknown"),
        (3, "unknown"),
        ({"name": "MIT"}, "unknown"),
        ("yarım \ud800 çift", "yarım ? çift"),
    ],
)
def test_what_a_license_may_be(stated: Any, license: str) -> None:
    assert license_name(stated) == license


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_missing_text_field_is_an_error_that_lists_those_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"body": TEXT, "n": 1}), encoding="utf-8")
    pyarrow.parquet.write_table(pa.table({"body": [TEXT], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"'text'(.|\n)*body, n"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "k\xfd\xfe\xfdn g\xf6l donar"}', "bad_utf8"),
        (b'{"text": "\xed\xa0\x80"}', "bad_utf8"),
        (b'{"text": "yar\\ud83dm"}', "lone_surrogate"),
        (b'{"text": "yarim', "bad_json"),
        (b"\x00\x01\x02", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b"[" * 900 + b"]" * 900, "no_json_object"),
        (b'{"text": ' + b"[" * 900 + b"]" * 900 + b"}", "no_text_field"),
        (b'"yaln\xc4\xb1zca dize"', "no_json_object"),
        (b'{"text": null}', "no_text_field"),
        (b'{"text": ["a"]}', "no_text_field"),
        (b'{"text": 12, "n": NaN}', "no_text_field"),
        (b'{"text": "g\xc3\xb6l", "n": NaN}', ""),
        (b'{"text": "g\xc3\xb6l", "n": 123456789012345678901234567890}', ""),
        (b'{"text": "g\xc3\xb6l", "text": "dere"}', ""),
        (b'{"text": "g\xc3\xb6l", "id": "\\ud83d"}', ""),
        (b'{"text": ""}', ""),
    ],
)
def test_each_bad_line_has_its_reason_and_its_neighbors_stay(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    good = json.dumps({"text": TEXT}).encode()
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([good, b"", line, b"  \t\r", good]) + b"\n")
    found = read(path)
    assert reasons(found) == ["", reason, ""]
    assert [record.id for record in found] == ["a.jsonl:1", "a.jsonl:3", "a.jsonl:5"]
    found[1].id.encode()
    if reason in ("bad_utf8", "bad_json", "no_json_object"):
        assert found[1].text == line.decode("utf-8", "backslashreplace")


def test_nulls_and_broken_strings_in_parquet_are_rejects(tmp_path: Path) -> None:
    bytes_of = [TEXT.encode(), None, b"k\xfd\xfe", TEXT.encode()]
    broken = pa.array(bytes_of, pa.binary()).view(pa.string())
    path = tmp_path / "a.parquet"
    table = pa.table({"text": broken, "url": ["http://a.example/1", "b", None, "c"], "n": [1] * 4})
    pyarrow.parquet.write_table(table, path)
    found = read(path, source_field="url", id_field="n")
    assert reasons(found) == ["", "no_text_field", "bad_utf8", ""]
    assert [record.source for record in found] == ["a.example", "b", "a", "c"]
    assert [found[0].id, found[3].id] == ["1", "1"]
    assert found[2].text == "k\\xfd\\xfe"


def test_one_field_may_be_all_things(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({"id": [TEXT]}), path)
    (document,) = read(path, text_field="id", source_field="id")
    assert (document.id, document.text, document.source) == (TEXT, TEXT, TEXT)


def test_a_cut_off_parquet_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({"text": [f"{TEXT} {n}" for n in range(5000)]}), path)
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], data[:100] + bytes(1000) + data[1100:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="no readable parquet"):
            read(path)
