"""Building a corpus: what is kept, what is rejected and why, and that nothing is lost."""

import json
from pathlib import Path

import pytest

from corpora import documents, write
from dilmac.core import (
    InputError,
    bundled_raw_text,
    open_artifact,
    read_documents,
    read_lines,
)
from dilmac.corpus import CorpusConfig, build_corpus


def build(path: Path, out: Path, **settings: object) -> Path:
    values = {"inputs": (str(path),), "out": out, **settings}
    return build_corpus(CorpusConfig.model_validate(values)).path


def rejects(corpus: Path) -> list[dict[str, str]]:
    return [json.loads(line.data or b"") for line in read_lines(corpus / "rejects.jsonl.zst")]


def kept(corpus: Path) -> list[dict[str, str]]:
    return [*read_documents(corpus, "train"), *read_documents(corpus, "heldout")]


def test_the_dirty_sample_comes_out_as_it_says(sample_corpus: Path) -> None:
    dirty = bundled_raw_text()[-1]
    expected = [json.loads(line) for line in dirty.read_text(encoding="utf-8").splitlines()]
    texts = {document["id"]: document["text"] for document in kept(sample_corpus)}
    reasons = {reject["id"]: reject["reason"] for reject in rejects(sample_corpus)}
    for number, line in enumerate(expected, start=1):
        name = f"dirty.jsonl:{number}"
        if line["expect"] == "kept":
            assert texts[name] == line["clean"], line["fault"]
        else:
            assert name in reasons, line
    assert {"duplicate", "other_language", "boilerplate", "repeated_lines"} <= set(reasons.values())


def test_every_document_is_kept_or_rejected_and_counted(sample_corpus: Path) -> None:
    figures = open_artifact(sample_corpus, "corpus").figures
    assert figures["documents_kept"] == len(kept(sample_corpus))
    assert sum(figures["rejected"].values()) == len(rejects(sample_corpus))
    assert figures["documents_read"] == figures["documents_kept"] + len(rejects(sample_corpus))
    report = (sample_corpus / "report.html").read_text(encoding="utf-8")
    assert all(reason in report for reason in figures["rejected"])


def test_bad_records_are_kept_as_rejects(tmp_path: Path) -> None:
    good = [{"text": text} for text in documents(6)]
    bad = ["{bad", "[1]", {"other": 1}, '{"text": "yarım \\ud800 çift"}', {"text": ""}]
    nul = {"text": documents(7)[6].replace("bir", "bi\0r")}
    corpus = build(write(tmp_path / "in.jsonl", [*good, *bad, nul]), tmp_path / "c")
    assert {(r["reason"], r["id"]) for r in rejects(corpus)} == {
        ("bad_json", "in.jsonl:7"),
        ("no_json_object", "in.jsonl:8"),
        ("no_text_field", "in.jsonl:9"),
        ("lone_surrogate", "in.jsonl:10"),
        ("empty", "in.jsonl:11"),
    }
    assert documents(7)[6] in [document["text"] for document in kept(corpus)]
    assert "{bad" in [reject["text"] for reject in rejects(corpus)]


def test_held_out_and_train_are_apart_and_neither_is_empty(tmp_path: Path) -> None:
    for count in (2, 3, 40):
        path = write(tmp_path / f"{count}.jsonl", [{"text": text} for text in documents(count)])
        corpus = build(path, tmp_path / f"c{count}")
        train = {document["text"] for document in read_documents(corpus, "train")}
        heldout = {document["text"] for document in read_documents(corpus, "heldout")}
        assert train and heldout and not train & heldout
        assert len(train) + len(heldout) == count
        size = sum(len(text.encode()) for text in heldout)
        assert open_artifact(corpus).figures["text_bytes_heldout"] == size


def test_the_same_inputs_give_the_same_bytes(sample_corpus: Path, tmp_path: Path) -> None:
    inputs = tuple(map(str, bundled_raw_text()))
    again = build_corpus(CorpusConfig(inputs=inputs, out=tmp_path / "c", holdout_percent=5))
    assert again.manifest.digest == open_artifact(sample_corpus).manifest.digest
    assert again.figures == open_artifact(sample_corpus).figures


def test_a_giant_document_is_a_reject_and_not_a_giant_table(tmp_path: Path) -> None:
    giant = "çok uzun bir metin " * 230_000  # 4.4 million characters
    lines = [{"text": text} for text in documents(3)]
    corpus = build(write(tmp_path / "in.jsonl", [*lines, {"text": giant}]), tmp_path / "c")
    (reject,) = rejects(corpus)
    assert reject["reason"] == "too_long" and reject["text"] == giant


def test_equal_texts_are_kept_once(tmp_path: Path) -> None:
    (text,) = documents(1)
    from dilmac.turkish import upper

    lines = [text, text, f"  {text.replace(' ', '  ')}", upper(text), *documents(3)[1:]]
    corpus = build(write(tmp_path / "in.jsonl", [{"text": t} for t in lines]), tmp_path / "c")
    assert open_artifact(corpus).figures["rejected"] == {"duplicate": 3}


def test_text_files_are_divided_at_empty_lines_lines_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("\n\n".join(documents(4)), encoding="utf-8")
    assert len(kept(build(path, tmp_path / "a"))) == 4
    assert len(kept(build(path, tmp_path / "b", documents="lines"))) == 4
    (whole,) = read_documents(build(path, tmp_path / "c", documents="file"), "train")
    assert whole["text"] == "\n\n".join(documents(4))


def test_turkish_windows_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes("\r\n\r\n".join(documents(3)).encode("cp1254"))
    assert {document["text"] for document in kept(build(path, tmp_path / "c"))} == set(documents(3))


def test_ascii_turkish_is_turkish_and_its_sisters_are_not(tmp_path: Path) -> None:
    ascii_text = (
        "Bugun hava cok guzel, cocuklar bahcede oynuyor ve annem mutfakta yemek yapiyor. Yarin "
        "sabah erkenden okula gidecegiz, sonra da dedemin koyune dogru yola cikacagiz."
    )
    azeri = (
        "Bu gün hava çox gözəldir, uşaqlar həyətdə oynayır və anam mətbəxdə yemək bişirir. Sabah "
        "tezdən məktəbə gedəcəyik, sonra isə babamın kəndinə yola düşəcəyik."
    )
    path = write(tmp_path / "in.jsonl", [{"text": t} for t in (ascii_text, azeri, *documents(2))])
    corpus = build(path, tmp_path / "c")
    assert ascii_text in [document["text"] for document in kept(corpus)]
    assert [(r["id"], r["reason"]) for r in rejects(corpus)] == [("in.jsonl:2", "other_language")]


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("empty.txt", b"", "holds no text"),
        ("blank.jsonl", b"\n\n", "holds no text"),
        ("english.txt", b"This is a sentence in English. " * 20, "none of 1 documents was kept"),
        ("fields.jsonl", b'{"body": "x", "id": 1}\n', "fields there: body, id"),
        ("broken.jsonl.zst", b"\x28\xb5\x2f\xfdnonsense", "damaged or truncated"),
        ("broken.parquet", b"PAR1nonsense", "no readable parquet"),
        ("program.exe", b"MZ", "no reader"),
    ],
)
def test_what_holds_no_turkish_is_refused(
    tmp_path: Path, name: str, data: bytes, fault: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=fault) as caught:
        build(path, tmp_path / "c")
    assert name in str(caught.value)
    assert not (tmp_path / "c").exists() and not list(tmp_path.glob(".c.*"))


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "in.txt", list(documents(2)))
    with pytest.raises(Exception, match="unknown language 'turkish'"):
        build(path, tmp_path / "c", language="turkish")
