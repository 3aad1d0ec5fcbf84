"""A document that shares a run of 13 words with an evaluation set is rejected, others are not."""

import json
from pathlib import Path

import pytest

from corpora import documents, write
from dilmac.core import InputError, open_artifact, read_lines
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.corpus.steps.decontaminate import contaminated, evaluation_ngrams
from dilmac.turkish import upper

QUESTION = (
    "Balıkçının sandığında bulduğu haritada işaretli olan kuyunun yanındaki üç çınardan hangisi "
    "en yaşlı ağaçtır ve gölgesi öğleyin nereye düşer"
)


def ngrams(folder: Path, record: object) -> object:
    path = folder / "evaluation.jsonl"
    path.write_text(json.dumps(record), encoding="utf-8")
    evaluation_ngrams.cache_clear()
    return evaluation_ngrams((str(path),))


def test_thirteen_words_in_a_row_are_found_whatever_their_spelling(tmp_path: Path) -> None:
    known = ngrams(tmp_path, {"question": QUESTION, "choices": {"text": ["evet", QUESTION + " o"]}})
    words = QUESTION.split()
    texts = [
        f"{documents(1)[0]} {' '.join(words[:13])} {documents(2)[1]}",
        f"{documents(3)[2]} {upper(', '.join(words[3:16]))}!",
        f"{documents(3)[2]} {' '.join(words[:12])} {documents(4)[3]}",
        " ".join(words[:6]),
        "",
        *documents(10),
    ]
    assert contaminated(texts, known) == [True, True, *[False] * 13]  # type: ignore[arg-type]


def test_a_run_across_two_documents_is_none(tmp_path: Path) -> None:
    known = ngrams(tmp_path, {"text": QUESTION})
    words = QUESTION.split()
    halves = [" ".join(words[:7]), " ".join(words[7:])]
    assert contaminated(halves, known) == [False, False]  # type: ignore[arg-type]


def test_files_without_a_run_or_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run of 13 words"):
        ngrams(tmp_path, {"text": "kısa"})
    with pytest.raises(InputError, match="no such file"):
        evaluation_ngrams((str(tmp_path / "missing.jsonl"),))


def test_a_build_keeps_evaluation_texts_out_and_records_them(tmp_path: Path) -> None:
    evaluation = write(tmp_path / "evaluation.jsonl", [{"soru": QUESTION}])
    leaked = f"{documents(30)[29]} {QUESTION}?"
    text = write(tmp_path / "in.jsonl", [{"text": t} for t in [*documents(20), leaked]])
    config = CorpusConfig(inputs=(str(text),), out=tmp_path / "c", decontaminate=(str(evaluation),))
    corpus = build_corpus(config)
    assert corpus.figures["rejected"] == {"contaminated": 1}
    (reject,) = read_lines(corpus.path / "rejects.jsonl.zst")
    assert json.loads(reject.data or b"")["text"] == leaked
    recorded = open_artifact(corpus.path).manifest.inputs
    assert [record.name for record in recorded["decontaminate"]] == ["evaluation.jsonl"]
