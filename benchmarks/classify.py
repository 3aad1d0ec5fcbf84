"""Question: does a fine-tuned dilmac-mini label Turkish texts better than TF-IDF with a linear one?

    python benchmarks/classify.py [--texts 400] [--epochs 3] [--max-length 40] [--work DIR]

Two tasks of `../shared/corpus/classify-tr.jsonl.zst` (its field `task`: topic of a help page, genre
of a text), `--texts` of each (0: all), chosen and split 80/10/10 by hash. dilmac-mini in full, by
LoRA and by QLoRA through `dilmac classify train`, beside scikit-learn's TF-IDF (words and pairs of
words, sublinear) with logistic regression, its C chosen on the validation part. TF-IDF reads whole
texts, the models their first `--max-length` tokens. Every side trains in a process of its own; its
peak memory and its CPU seconds are those of the whole process (imports, training, measuring), which
say more than the clock where other work runs beside it. TF-IDF's seconds are of all five C. Latency
is the median of single texts, from text to label, in CPU time for the same reason. What is finished
is kept in `--work`. With the sizes by default about 10 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dilmac.core import expand_inputs, part_of, place_of, read_records
from support.children import Figures, add_child_flags, answer, run_child
from support.measuring import heading
from support.tables import print_json, print_table

SHARED = Path("../shared/corpus/classify-tr.jsonl.zst")
TASKS = ("genre", "topic")
METHODS = ("tf-idf", "full", "lora", "qlora")
CS = (0.3, 1.0, 3.0, 10.0, 30.0)
TIMED_TEXTS = 100
HEADS = (
    ("task", "task"),
    ("method", "method"),
    ("macro F1, test", "f1_macro"),
    ("accuracy", "accuracy"),
    ("macro F1, validation", "f1_validation"),
    ("train s", "train_seconds"),
    ("CPU s in all", "cpu_seconds"),
    ("peak MB", "peak_memory_mb"),
    ("trained numbers", "trained"),
    ("on disk MB", "disk_mb"),
    ("CPU ms a text", "cpu_ms_per_text"),
)


def main() -> None:
    chosen = _flags()
    if answer(chosen, _measure):
        return
    rows = []
    for task in TASKS:
        data = _texts_of(chosen, task)
        for method in METHODS:
            rows.append({"task": task, "method": method, **_measured(chosen, data, task, method)})
            print_json(rows[-1])
    print(heading("python benchmarks/classify.py"))
    print_table([head for head, _ in HEADS], [[row[key] for _, key in HEADS] for row in rows])


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--texts", type=int, default=400, help="of each task; 0: all")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=40)
    parser.add_argument("--work", type=Path, default=Path("classify-bench"))
    add_child_flags(parser)
    return parser.parse_args()


def _texts_of(chosen: argparse.Namespace, task: str) -> Path:
    """The chosen texts of a task as a file."""
    found = [row for row in read_records(expand_inputs([chosen.data])) if row["task"] == task]
    found.sort(key=lambda row: place_of(f"chosen {row['id']}"))
    chosen.work.mkdir(parents=True, exist_ok=True)
    path: Path = chosen.work / f"{task}.jsonl"
    kept = found[: chosen.texts or None]
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _measured(chosen: argparse.Namespace, data: Path, task: str, method: str) -> Figures:
    """Figures of a side; those of an earlier run where they are kept."""
    settings = {
        "data": str(data),
        "method": method,
        "epochs": chosen.epochs,
        "batch_size": chosen.batch_size,
        "max_length": chosen.max_length,
        "out": str(chosen.work / f"{task}-{method}"),
    }
    kept = chosen.work / f"{task}-{method}-kept.json"
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["settings"] == settings:
            return dict(found["figures"])
    figures = run_child(__file__, settings, chosen.work / "logs", f"{task} {method}")
    kept.write_text(json.dumps({"settings": settings, "figures": figures}), encoding="utf-8")
    return figures


def _measure(settings: Figures) -> Figures:
    figures = (_tf_idf if settings["method"] == "tf-idf" else _classifier)(settings)
    return figures | {"cpu_seconds": round(time.process_time(), 1)}


def _classifier(settings: Figures) -> Figures:
    """dilmac-mini, trained and used as a user would."""
    from dilmac.evaluate import Classifier
    from dilmac.training import ClassifyConfig, classify_train

    values = {name: value for name, value in settings.items() if name != "out"}
    made = classify_train(
        ClassifyConfig(model="dilmac-mini", out=settings["out"], patience=None, **values),
        force=True,
    )
    classifier = Classifier(made.path)
    texts = _parts(settings)["test"][0]
    return {
        "f1_macro": made.figures["test"]["f1_macro"],
        "accuracy": made.figures["test"]["accuracy"],
        "f1_validation": made.figures["validation"]["f1_macro"],
        "test_texts": made.figures["texts_test"],
        "train_texts": made.figures["texts"],
        "train_seconds": made.manifest.run["train_seconds"],
        "trained": made.figures["trainable_parameters"],
        "disk_mb": _megabytes(made.path),
        "adapter_mb": _megabytes(made.path / "adapter"),
        "cpu_ms_per_text": _milliseconds(lambda text: classifier.probabilities([text]), texts),
    }


def _megabytes(folder: Path) -> float:
    return round(sum(p.stat().st_size for p in folder.glob("*.safetensors")) / 1e6, 2)


def _tf_idf(settings: Figures) -> Figures:
    """The classical rival, with the same parts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline

    parts = _parts(settings)

    def trained(c: float) -> Any:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(words, LogisticRegression(C=c, max_iter=1000))
        return model.fit(*parts["train"])

    def f1(model: Any, part: str) -> float:
        texts, labels = parts[part]
        return round(float(f1_score(labels, model.predict(texts), average="macro")), 4)

    started = time.monotonic()
    models = [trained(c) for c in CS]
    best = max(models, key=lambda model: f1(model, "validation"))
    seconds = time.monotonic() - started
    return {
        "f1_macro": f1(best, "test"),
        "accuracy": round(float(best.score(*parts["test"])), 4),
        "f1_validation": f1(best, "validation"),
        "test_texts": len(parts["test"][0]),
        "train_texts": len(parts["train"][0]),
        "train_seconds": round(seconds, 1),
        "trained": int(best[-1].coef_.size + best[-1].intercept_.size),
        "disk_mb": round(len(pickle.dumps(best)) / 1e6, 2),
        "cpu_ms_per_text": _milliseconds(lambda text: best.predict([text]), parts["test"][0]),
    }


def _parts(settings: Figures) -> dict[str, tuple[list[str], list[str]]]:
    """Texts and labels of each part, as `dilmac classify train` splits them."""
    parts: dict[str, tuple[list[str], list[str]]] = {
        name: ([], []) for name in ("train", "validation", "test")
    }
    for row in read_records([settings["data"]]):
        texts, labels = parts[part_of(str(row["id"]))]
        texts.append(str(row["text"]))
        labels.append(str(row["label"]))
    return parts


def _milliseconds(label: Callable[[str], Any], texts: list[str]) -> float:
    """Median CPU time of single texts; the first is not counted."""
    took = []
    for text in texts[: TIMED_TEXTS + 1]:
        started = time.process_time()
        label(text)
        took.append(time.process_time() - started)
    return round(1000 * statistics.median(took[1:]), 3)


if __name__ == "__main__":
    main()
