"""Predicting: texts of the command line, of files and of standard input."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from dilmac.cli import main
from dilmac.core import ConfigError, InputError
from dilmac.evaluate import Classifier
from dilmac.training import PredictConfig, classify_predict
from labeled import labeled, write_jsonl


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["classify", "predict", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_texts_give_labels_and_probabilities(
    tiny_classifier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["kedi ev su. Çok iyi.", "ekmek taş. Çok kötü!"]
    code, out, _ = run(capsys, *texts, "--model", str(tiny_classifier), "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["text"] for row in rows] == texts
    expected = Classifier(tiny_classifier).probabilities(texts)
    for row, shares in zip(rows, expected, strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(shares, abs=1e-5)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
    code, out, _ = run(capsys, texts[0], "--model", str(tiny_classifier))
    assert code == 0 and out.startswith(f"{rows[0]['label']}\t0.")


def test_files_and_standard_input_say_the_same(
    tiny_classifier: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = labeled(20)
    records = write_jsonl(tmp_path / "rows.jsonl", rows)
    lines = tmp_path / "rows.txt"
    lines.write_text("\n\n".join(row["text"] for row in rows) + "\n", encoding="utf-8")
    by_record, by_line = (
        list(classify_predict(PredictConfig(model=tiny_classifier, file=file, batch_size=2)))
        for file in (records, lines)
    )
    assert [row.pop("id") for row in by_record] == [row["id"] for row in rows]
    assert by_record == by_line
    assert [row["text"] for row in by_record] == [row["text"] for row in rows]
    monkeypatch.setattr("sys.stdin", io.StringIO(lines.read_text(encoding="utf-8")))
    code, out, _ = run(capsys, "--model", str(tiny_classifier), "--json", "--batch-size", "2")
    assert code == 0 and [json.loads(line) for line in out.splitlines()] == by_record


def test_what_cannot_be_labeled_is_refused(
    tiny_classifier: Path, blank_model: Path, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": "Bir."}, {"yorum": "İki."}])

    def predict(**settings: object) -> None:
        list(classify_predict(PredictConfig(**{"model": tiny_classifier, **settings})))  # type: ignore[arg-type]

    with pytest.raises(InputError, match=r"rows\.jsonl:2: field 'text' is missing"):
        predict(file=path)
    with pytest.raises(ConfigError, match="--file: goes without texts"):
        predict(file=path, text=("Bir.",))
    with pytest.raises(InputError, match=r"text 2: .*empty"):
        predict(text=("Bir.", " "))
    with pytest.raises(InputError, match="no such file"):
        predict(file=tmp_path / "nowhere.txt")
    with pytest.raises(InputError, match="is no classifier"):
        predict(model=blank_model, text=("Bir.",))
    with pytest.raises(InputError, match="no such model folder"):
        predict(model=tmp_path / "nowhere", text=("Bir.",))


def test_ids_of_any_kind_are_shown(
    tiny_classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, rows = tmp_path / "rows.parquet", tmp_path / "rows.jsonl"
    dates = [datetime.date(2026, 1, 2)]
    pyarrow.parquet.write_table(pyarrow.table({"text": ["Bir."], "id": dates}), table)
    rows.write_text('{"text": "Bir.", "id": "a\\ud800"}\n', encoding="utf-8")
    for file, shown in ((table, "2026-01-02"), (rows, "a?")):
        code, out, _ = run(capsys, "--file", str(file), "--model", str(tiny_classifier), "--json")
        assert code == 0 and json.loads(out)["id"] == shown
