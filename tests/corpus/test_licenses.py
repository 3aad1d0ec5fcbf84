"""The license of each document is counted, whoever works on it, and shown in the report."""

from pathlib import Path
from typing import Any

import pytest

from corpora import documents, write
from dilmac.core import Artifact
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.turkish import upper

PAGE = "<!DOCTYPE html><html><head><title>t</title></head><body><article><p>{}</p></article></body>"
COUNTED = {
    "web": {"CC-BY-SA-4.0": 24, "unknown": 2},
    "wiki": {"<b>MIT</b>": 12, "CC0-1.0, MIT": 12},
}


def build(inputs: tuple[str, ...], out: Path, **settings: Any) -> Artifact:
    values = {"inputs": inputs, "out": out, "source_field": "source", **settings}
    return build_corpus(CorpusConfig.model_validate(values))


def inputs(folder: Path) -> tuple[str, ...]:
    """Two files; duplicates, and what is no Turkish, are not among what is kept."""
    texts = documents(50)
    terms = ["<b>MIT</b>", ["CC0-1.0", "MIT"]]
    wiki: list[Any] = [
        {"text": text, "source": "wiki", "terms": terms[number % 2]}
        for number, text in enumerate(texts[:24])
    ]
    web: list[Any] = [
        {"text": text, "source": "web", "terms": "CC-BY-SA-4.0"} for text in texts[24:48]
    ]
    web[5]["text"] = PAGE.format(web[5]["text"])
    web += [{"text": text, "source": "web"} for text in texts[48:]]
    gone = {"source": "web", "terms": "GPL-3.0"}
    web += [{"text": upper(texts[0]), **gone}, {"text": "English only. " * 9, **gone}]
    return str(write(folder / "a.jsonl", wiki)), str(write(folder / "b.jsonl", web))


@pytest.mark.parametrize(
    "settings",
    [{"workers": 1}, {"workers": 3}, {"workers": 2, "engine": "datatrove"}],
    ids=["one", "several", "datatrove"],
)
def test_licenses_are_counted_by_source_whoever_does_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    if settings["workers"] == 3:
        monkeypatch.setattr("dilmac.corpus.run.divide.PART_CHARACTERS", 4000)
    corpus = build(inputs(tmp_path), tmp_path / "c", license_field="terms", **settings)
    assert corpus.figures["licenses"] == COUNTED
    assert corpus.figures["documents_kept"] == 50
    report = (corpus.path / "report.html").read_text(encoding="utf-8")
    assert "CC-BY-SA-4.0: 24, unknown: 2" in report
    assert "&lt;b&gt;MIT&lt;/b&gt;: 12" in report and "<b>MIT</b>" not in report


def test_a_corpus_without_licenses_says_so(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n\n".join(documents(3)), encoding="utf-8")
    corpus = build((str(tmp_path / "in.txt"),), tmp_path / "c", steps=("repair",))
    assert corpus.figures["licenses"] == {"in": {"unknown": 3}}
