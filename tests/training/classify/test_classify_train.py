"""Classifiers learn, are what they were when saved, and open in plain transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from dilmac.core import InputError, MissingDependencyError, open_artifact, part_of, read_events
from dilmac.evaluate import Classifier
from dilmac.models import new_classifier
from dilmac.tokenizer import Tokenizer
from dilmac.training import ClassifyConfig, classify_train
from dilmac.training.classify.data import Row
from dilmac.training.classify.model import pad_token_of
from dilmac.training.classify.trainer import _arguments, class_weights
from killing import kill_dilmac_when, run_dilmac
from labeled import SIGNS, labeled, write_jsonl

TEXTS = [row["text"] for row in labeled(30)]


def settings(model: Path, data: Path, out: Path, **more: Any) -> ClassifyConfig:
    given = {"max_length": 16, "precision": "fp32", "epochs": 1, "learning_rate": 1e-2}
    return ClassifyConfig(model=model, data=data, out=out, **{**given, **more})


def test_it_learns_and_says_how_well(tiny_classifier: Path) -> None:
    figures = open_artifact(tiny_classifier, "classifier").figures
    assert sorted(figures["labels"]) == sorted(SIGNS)
    for part in ("validation", "test"):
        found = figures[part]
        assert found["f1_macro"] > 0.9 and found["accuracy"] > found["accuracy_of_commonest"]
        assert sum(map(sum, found["confusion"])) == found["texts"] == figures[f"texts_{part}"]
    assert figures["texts"] + figures["texts_validation"] + figures["texts_test"] == 240
    assert 0 < figures["trainable_parameters"] < figures["total_parameters"]
    assert figures["texts_truncated"] > 0
    assert figures["merge_logit_difference"] < 1e-3 and figures["saved_logit_difference"] == 0
    run = open_artifact(tiny_classifier).manifest.run
    assert run["train_seconds"] > 0 and run["peak_memory_bytes"] > 1 << 20


def test_the_best_checkpoint_is_kept_and_patience_ends_it(tiny_classifier: Path) -> None:
    figures = open_artifact(tiny_classifier).figures
    events = read_events(tiny_classifier / "events.jsonl")
    measured = {e["step"]: e["f1_macro"] for e in events if e["event"] == "validation"}
    assert measured[figures["best_step"]] == max(measured.values())
    assert figures["best_step"] == min(s for s in measured if measured[s] == max(measured.values()))
    assert figures["steps"] == max(measured)
    assert measured[figures["best_step"]] == figures["validation"]["f1_macro"]
    assert not (tiny_classifier / "checkpoints").exists()


def test_plain_transformers_gives_the_same_probabilities(tiny_classifier: Path) -> None:
    ours = Classifier(tiny_classifier)
    found = ours.probabilities(TEXTS, batch_size=7)
    classify = pipeline("text-classification", str(tiny_classifier), device="cpu", top_k=None)
    theirs = classify(TEXTS, truncation=True, batch_size=4)
    for row, answer in zip(found, theirs, strict=True):
        scores = {one["label"]: one["score"] for one in answer}
        assert set(scores) == set(SIGNS)
        for label, share in zip(ours.labels, row, strict=True):
            assert share == pytest.approx(scores[label], abs=1e-5)


def test_padding_changes_nothing_and_is_no_end_of_text(tiny_classifier: Path) -> None:
    ours = Classifier(tiny_classifier)
    together = ours.probabilities(TEXTS, batch_size=len(TEXTS))
    alone = ours.probabilities(TEXTS, batch_size=1)
    assert abs(together - alone).max() < 1e-5
    tokenizer = AutoTokenizer.from_pretrained(tiny_classifier)
    config = ours.model.config
    assert tokenizer.pad_token_id == config.pad_token_id != tokenizer.eos_token_id
    assert config.pad_token_id != config.eos_token_id
    assert tokenizer.model_max_length == ours.max_tokens == 16


def test_the_merged_model_is_base_and_adapter(blank_model: Path, tiny_classifier: Path) -> None:
    merged = AutoModelForSequenceClassification.from_pretrained(tiny_classifier).eval()
    labels = list(merged.config.label2id)
    base = new_classifier(blank_model, labels, pad_id=merged.config.pad_token_id, seed=1)
    separate = PeftModel.from_pretrained(base, str(tiny_classifier / "adapter")).eval()
    ids = torch.tensor([Tokenizer(tiny_classifier).encode("Kedi okulda. Çok iyi.")])
    with torch.inference_mode():
        assert torch.allclose(merged(ids).logits, separate(ids).logits, atol=1e-4)


def test_the_report_and_the_card_say_what_it_is(tiny_classifier: Path) -> None:
    page = (tiny_classifier / "report.html").read_text(encoding="utf-8")
    assert "Test part" in page and "olumsuz" in page and "heatmap" in page
    card = (tiny_classifier / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in card and "Metinleri etiketleyen" in card
    assert "| labeled.jsonl | 240 | unknown |" in card


@pytest.mark.parametrize("method", ["full", "qlora"])
def test_in_full_and_beside_four_bits(
    method: str, blank_model: Path, labeled_texts: Path, tmp_path: Path
) -> None:
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    config = settings(
        blank_model, labeled_texts, tmp_path / "made", method=method, class_weights="balanced"
    )
    made = classify_train(config)
    figures = made.figures
    assert figures["validation"]["f1_macro"] > 0.3
    assert figures["saved_logit_difference"] == 0
    is_full = figures["trainable_parameters"] == figures["total_parameters"]
    assert is_full == (method == "full") != (made.path / "adapter").is_dir()
    assert figures.get("merge_logit_difference", 0) < 1e-3
    opened = Classifier(made.path)  # ordinary matrices, whatever it was trained beside
    assert "quantization_config" not in json.loads((made.path / "config.json").read_text())
    assert opened.probabilities(TEXTS).sum(axis=1) == pytest.approx(1)


def test_qlora_without_its_package_names_the_command(
    blank_model: Path, labeled_texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    config = settings(blank_model, labeled_texts, tmp_path / "made", method="qlora")
    with pytest.raises(MissingDependencyError, match=r"pip install 'dilmac\[qlora\]'"):
        classify_train(config)


def test_a_few_texts_are_all_learned_and_the_last_weights_kept(
    blank_model: Path, tmp_path: Path
) -> None:
    learned = [number for number in range(20) if part_of(str(number)) == "train"]
    rows = [{**row, "id": n} for n, row in zip(learned, labeled(4), strict=False)]
    data = write_jsonl(tmp_path / "few.jsonl", rows)
    figures = classify_train(settings(blank_model, data, tmp_path / "made", method="full")).figures
    assert figures["texts"] == 4 and figures["best_step"] == figures["steps"] == 1
    assert figures["validation"] == figures["test"] == {}


def test_checkpoints_are_found_from_another_folder(labeled_texts: Path) -> None:
    config = settings(Path("m"), labeled_texts, Path("made"))
    arguments = _arguments(config, Path("made"), 10, measured=True)
    assert Path(arguments.output_dir).is_absolute()


def test_weights_make_labels_count_the_same() -> None:
    rows = [Row([1], 0)] * 6 + [Row([1], 1)] * 2
    assert class_weights(rows, 2).tolist() == pytest.approx([8 / 12, 8 / 4])


def test_a_pad_token_that_ends_texts_is_replaced(sample_tokenizer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(sample_tokenizer, folder)
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**stated, "pad_token": "<|im_end|>"}), encoding="utf-8")
    assert pad_token_of(folder, Tokenizer(folder)) == "<|pad|>"


def test_a_classifier_is_no_language_model(
    tiny_classifier: Path, labeled_texts: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is a classifier already"):
        classify_train(settings(tiny_classifier, labeled_texts, tmp_path / "made"))
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_killed_and_repeated_gives_the_bytes_of_an_undisturbed_run(
    blank_model: Path, labeled_texts: Path, tmp_path: Path
) -> None:
    def flags(out: Path) -> list[str]:
        data = ["--model", str(blank_model), "--data", str(labeled_texts), "--max-length", "16"]
        budget = ["--epochs", "4", "--checkpoint-steps", "5", "--lora-dropout", "0.1"]
        return ["classify", "train", *data, *budget, "--out", str(out)]

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert run_dilmac(*flags(undisturbed)).returncode == 0
    checkpoints = tmp_path / ".killed.partial" / "checkpoints"
    assert kill_dilmac_when(
        lambda: any(checkpoints.glob("checkpoint-10/dilmac-whole")), *flags(killed)
    )
    assert not killed.exists()
    assert run_dilmac(*flags(killed)).returncode == 0
    ours, theirs = open_artifact(killed), open_artifact(undisturbed)
    assert ours.manifest.digest == theirs.manifest.digest
    assert ours.figures == theirs.figures
    assert ours.manifest.run["resumed_at_step"] >= 10
