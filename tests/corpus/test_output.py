"""What comes out: shards in either form, one text, rejects, and a report to look at."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from corpora import documents, write
from dilmac.core import Artifact, ConfigError, count_text_bytes, read_documents, read_lines
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.corpus.counts import EXAMPLES, Counts
from dilmac.corpus.report import FUNNEL, MEANING
from dilmac.corpus.steps.quality import faults, measure
from dilmac.corpus.words import word_table


def build(out: Path, lines: list[object], **settings: Any) -> Artifact:
    path = write(out.with_suffix(".jsonl"), lines)
    values = {"inputs": (str(path),), "out": out, **settings}
    return build_corpus(CorpusConfig.model_validate(values))


def texts(corpus: Path) -> list[dict[str, Any]]:
    return [*read_documents(corpus, "train"), *read_documents(corpus, "heldout")]


def test_parquet_shards_hold_the_same_documents(tmp_path: Path) -> None:
    lines: list[object] = [{"text": text} for text in documents(60)]
    one = build(tmp_path / "in", lines, shard_bytes=4000)
    other = build(tmp_path / "p", lines, shard_bytes=4000, shard_format="parquet")
    names = sorted(path.name for path in other.path.glob("train-*"))
    assert len(names) > 2 and all(name.endswith(".parquet") for name in names)
    renamed = [{**document, "id": "", "source": ""} for document in texts(other.path)]
    assert renamed == [{**document, "id": "", "source": ""} for document in texts(one.path)]
    table = pyarrow.parquet.read_table(other.path / names[0])
    assert table.column_names == ["id", "text", "source", "ascii_only"]
    assert count_text_bytes(other.path, "train") == count_text_bytes(one.path, "train")


def test_shards_open_with_datasets(tmp_path: Path) -> None:
    import datasets

    corpus = build(tmp_path / "c", [{"text": text} for text in documents(50)], shard_bytes=3000)
    files = sorted(str(path) for path in corpus.path.glob("train-*.jsonl.zst"))
    loaded = datasets.load_dataset(
        "json", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded["text"][:] == [d["text"] for d in read_documents(corpus.path, "train")]


def test_one_text_reads_back_as_the_training_documents(tmp_path: Path) -> None:
    lines: list[object] = [{"text": text.replace(". ", ".\n\n")} for text in documents(30)]
    corpus = build(tmp_path / "c", lines, txt_gz=True)
    with gzip.open(corpus.path / "corpus.txt.gz", "rt", encoding="utf-8") as file:
        parts = file.read().split("\n\n")
    train = [document["text"] for document in read_documents(corpus.path, "train")]
    assert parts[:-1] == ["\n".join(filter(None, text.split("\n"))) for text in train]
    assert parts[-1] == ""
    assert "corpus.txt.gz" in corpus.manifest.files


@pytest.mark.parametrize(("mode", "rejected"), [("mask", 0), ("drop", 1), ("keep", 0)])
def test_personal_data_is_masked_or_dropped_or_kept(
    tmp_path: Path, mode: str, rejected: int
) -> None:
    secret = "Sorular için ayse.ornek@example.com adresine yazın, ya da 0532 123 45 67 arayın."
    lines: list[object] = [{"text": text} for text in documents(8)]
    corpus = build(
        tmp_path / "c", [*lines, {"text": f"{documents(9)[8]} {secret}"}], personal_data=mode
    )
    assert corpus.figures["personal_data"] == {"email": 1, "phone": 1}
    assert corpus.figures["rejected"].get("personal_data", 0) == rejected
    together = " ".join(document["text"] for document in texts(corpus.path))
    assert ("ayse.ornek" in together) == (mode == "keep")
    assert ("<EPOSTA>" in together and "<TELEFON>" in together) == (mode == "mask")


def test_what_is_shown_holds_no_personal_data(tmp_path: Path) -> None:
    secret = "Arayın: 0532 123 45 67, ya da ayse.ornek@example.com adresine yazın. "
    copy = {"text": secret + documents(1)[0]}
    lines = [copy, copy, {"text": secret}, *({"text": text} for text in documents(5)[1:])]
    corpus = build(tmp_path / "c", lines, min_words=15)
    (cluster,) = read_lines(corpus.path / "clusters.jsonl.zst")
    shown = (cluster.data or b"").decode() + (corpus.path / "report.html").read_text("utf-8")
    assert "0532 123" not in shown and "ayse.ornek" not in shown
    assert "<TELEFON>" in shown and len(corpus.figures["rejected"]) == 2


def test_a_reject_holds_the_text_that_was_found(tmp_path: Path) -> None:
    lines: list[object] = [{"text": text} for text in documents(3)]
    menu = "Ana Sayfa > Spor\nPaylaş: Facebook Twitter WhatsApp"
    corpus = build(tmp_path / "c", [*lines, {"text": menu}, {"text": " \u200b "}])
    rejects = [json.loads(r.data or b"") for r in read_lines(corpus.path / "rejects.jsonl.zst")]
    assert {(reject["reason"], reject["text"]) for reject in rejects} == {
        ("boilerplate", menu),
        ("empty", " \u200b "),
    }


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"steps": ("repair", "repair")}, "repair stands there more than once"),
        ({"steps": ("clean",)}, "steps"),
        ({"executor": "ray"}, "--executor ray needs --engine datatrove"),
        ({"steps": ("repair",), "decontaminate": ("x.jsonl",)}, "the step is not in --steps"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: Any, fault: str) -> None:
    values = {"inputs": ("x",), "out": "y", **settings}
    with pytest.raises(ConfigError, match=fault) as caught:
        CorpusConfig.from_mapping(values, where="corpus")
    assert "whole section" not in str(caught.value) and "Value error" not in str(caught.value)


def test_the_report_shows_what_happened(tmp_path: Path) -> None:
    bad = [{"text": f"Kısa {n}", "url": "https://kisa.example/a"} for n in range(30)]
    good = [
        {"text": text, "url": f"https://uzun.example/{n}"} for n, text in enumerate(documents(20))
    ]
    broken = {"text": documents(21)[20].encode().decode("latin-1"), "url": "https://uzun.example/x"}
    copies = [{**good[0], "text": good[0]["text"] + " Son."}]
    corpus = build(tmp_path / "c", [*bad, *good, broken, *copies], source_field="url")
    page = (corpus.path / "report.html").read_text(encoding="utf-8")
    assert "uzun.example" in page and "kisa.example" in page
    assert page.count("Kısa ") >= EXAMPLES
    assert documents(21)[20][:20] in page  # a repaired text, before and after
    assert "near_duplicate" in page and "stays" in page
    for reason in corpus.figures["rejected"]:
        assert MEANING[reason] in page
    assert corpus.figures["kept_by_source"] == {"uzun.example": 21}


def test_every_reason_has_a_meaning_and_a_place_in_the_funnel() -> None:
    reasons = {reason for group in FUNNEL.values() for reason in group}
    pieces = {"boilerplate_line", "repeated_line", "foreign_paragraph"}
    assert reasons | pieces == set(MEANING)
    config = CorpusConfig(inputs=("x",), out="y")  # type: ignore[arg-type]
    assert set(faults(measure(word_table(["", "a b c"])), config)) <= reasons


def test_counts_of_parts_add_up_and_survive_json() -> None:
    parts = []
    for number in range(3):
        counts = Counts()
        counts.read["a"] += 2
        counts.reject(f"{number}", "metin " * number, "a", "too_short")
        counts.keep("bir iki üç", "a", 10, is_heldout=number == 0)
        counts.count_license("a", ["MIT", "CC0-1.0", "MIT"][number])
        counts.repair(f"{number}", "a", "Ã¼", "ü")
        parts.append(Counts.from_json(json.loads(json.dumps(counts.as_json()))))
    total = Counts()
    for counts in parts:
        total.add(counts)
    figures = total.figures()
    assert figures["documents_read"] == 6 and figures["rejected"] == {"too_short": 3}
    assert figures["documents_kept"] == 3 and figures["documents_heldout"] == 1
    assert total.lengths == {"rejected 0": 1, "rejected 1": 1, "rejected 2": 1, "kept 2": 3}
    assert len(total.repairs) == 3
    assert list(figures["licenses"]["a"].items()) == [("MIT", 2), ("CC0-1.0", 1)]


def test_a_crawl_of_many_hosts_is_counted_in_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dilmac.corpus.counts.MAX_SOURCES", 10)
    total = Counts()
    for number in range(100):
        counts = Counts()
        counts.read[f"host{number}"] += 1
        counts.read["large"] += 5
        counts.keep("bir iki", f"host{number}", 3, is_heldout=False)
        counts.keep("bir iki", "large", 3, is_heldout=False)
        counts.count_license(f"host{number}", ["MIT", "unknown"][number % 2])
        counts.count_license("large", "MIT")
        total.add(counts)
        total.bound_sources()
        assert len(total.read) <= 21 and len(total.kept) <= 21 and len(total.licenses) <= 21
    assert total.read.total() == 600 and total.read["large"] == 500
    assert total.kept.total() == 200 and total.kept["large"] == 100
    assert total.kept["(other sources)"] >= 79
    assert {source: row.total() for source, row in total.licenses.items()} == total.kept
    assert total.licenses["large"] == {"MIT": 100}
    assert min(total.licenses["(other sources)"].values()) >= 39


def test_the_figures_name_the_largest_sources_and_add_up_the_licenses_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dilmac.corpus.counts.SOURCES_IN_FIGURES", 1)
    monkeypatch.setattr("dilmac.corpus.counts.MAX_LICENSES", 3)
    counts = Counts()
    for number in range(9):
        source = "small" if number == 8 else "large"
        counts.keep("bir iki", source, 3, is_heldout=False)
        counts.count_license(source, f"license {number}")
    figures = counts.figures()
    assert figures["kept_by_source"] == {"large": 8}
    assert figures["licenses"] == {
        "large": {"(other licenses)": 5, "license 0": 1, "license 1": 1, "license 2": 1},
        "(other sources)": {"license 8": 1},
    }


def test_steps_are_done_in_the_order_given(tmp_path: Path) -> None:
    lines: list[object] = [{"text": text} for text in documents(6)]
    short = {"text": "Çok kısa bir metin ama iki kez."}
    before = build(tmp_path / "a", [*lines, short, short], steps=("quality", "deduplicate"))
    after = build(tmp_path / "b", [*lines, short, short], steps=("deduplicate", "quality"))
    assert before.figures["rejected"] == {"too_short": 2}
    assert after.figures["rejected"] == {"duplicate": 1, "too_short": 1}
    only = build(tmp_path / "c", [*lines, short], steps=("repair",))
    assert only.figures["documents_kept"] == 7
    assert not list(read_lines(only.path / "rejects.jsonl.zst"))
