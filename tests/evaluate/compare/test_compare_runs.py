"""Runs side by side: what was recorded, what is unknown, what is measured now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dilmac.cli import main
from dilmac.core import ConfigError, InputError, StageConfig, building, open_artifact
from dilmac.evaluate import CompareRunsConfig, compare_runs
from dilmac.evaluate.compare.table import NONE, UNKNOWN, lines

QUICK = {"repeats": 1, "new_tokens": 2, "prompt": ("Merhaba, nasılsın?",)}


@pytest.fixture(scope="module")
def unrecorded(tmp_path_factory: pytest.TempPathFactory, blank_model: Path) -> Path:
    """A model artifact that recorded nothing of itself."""
    out = tmp_path_factory.mktemp("runs") / "silent"
    with building("model", StageConfig(out=out), {}) as build:
        for path in blank_model.iterdir():
            shutil.copyfile(path, build.path / path.name)
        build.finish({})
    return out


def test_a_model_beside_itself_shows_no_difference(tiny_classifier: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_classifier, copy)
    figures = compare_runs(CompareRunsConfig(runs=(tiny_classifier, copy), **QUICK))
    first, second = figures["runs"]
    assert first["run"] == "classifier" and second["run"] == "copy"
    assert set(second["difference"].values()) == {0}
    assert {"ms_per_prompt", "f1_macro", "train_seconds", "peak_memory_bytes"} <= set(
        second["difference"]
    )
    assert figures["notes"] == [] and "difference" not in first


def test_a_row_says_what_the_run_recorded(tiny_classifier: Path) -> None:
    artifact = open_artifact(tiny_classifier)
    config = CompareRunsConfig(runs=(tiny_classifier,), latency=False)
    (row,) = compare_runs(config)["runs"]
    assert row["method"] == "lora" and row["base"] == "blank" and row["kind"] == "classifier"
    assert row["f1_macro"] == artifact.figures["test"]["f1_macro"] and row["f1_part"] == "test"
    assert row["trainable_parameters"] == artifact.figures["trainable_parameters"]
    assert row["train_seconds"] == artifact.manifest.run["train_seconds"]
    assert row["weights_bytes"] == (tiny_classifier / "model.safetensors").stat().st_size
    assert row["adapter_bytes"] > 0 and row["ms_per_prompt"] is None


def test_what_was_not_recorded_is_unknown(unrecorded: Path, tiny_classifier: Path) -> None:
    figures = compare_runs(CompareRunsConfig(runs=(unrecorded, tiny_classifier), **QUICK))
    silent, _ = figures["runs"]
    for name in ("method", "base", "train_seconds", "peak_memory_bytes", "validation_loss"):
        assert silent[name] is None
    assert silent["ms_per_prompt"] > 0 and silent["ms_per_new_token"] > 0
    shown = {line[0]: line[1:] for line in lines(figures)}
    assert shown["training"][0] == UNKNOWN and shown["training"][1].endswith(" s")
    assert shown["macro F1"][0] == NONE
    assert shown["validation loss"] == (UNKNOWN, NONE)
    assert shown["a new token"][1] == NONE


def test_an_interrupted_run_does_not_say_how_long_it_took(
    tiny_classifier: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "resumed"
    shutil.copytree(tiny_classifier, copy)
    manifest = json.loads((copy / "artifact.json").read_text(encoding="utf-8"))
    manifest["run"]["resumed_at_step"] = 5
    (copy / "artifact.json").write_text(json.dumps(manifest), encoding="utf-8")
    (row,) = compare_runs(CompareRunsConfig(runs=(copy,), latency=False))["runs"]
    assert row["train_seconds"] is None


def test_figures_of_different_data_are_noted(tiny_classifier: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other"
    shutil.copytree(tiny_classifier, copy)
    manifest = json.loads((copy / "artifact.json").read_text(encoding="utf-8"))
    manifest["inputs"]["data"][0]["sha256"] = "0" * 64
    (copy / "artifact.json").write_text(json.dumps(manifest), encoding="utf-8")
    config = CompareRunsConfig(runs=(tiny_classifier, copy), latency=False)
    assert compare_runs(config)["notes"] == ["f1_macro: the runs were measured on different data"]


def test_bits_per_byte_are_measured_on_given_texts(
    unrecorded: Path, tiny_classifier: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Kıyıda sabah erkenden yağmur yağdı.\n", encoding="utf-8")
    config = CompareRunsConfig(runs=(unrecorded, tiny_classifier), latency=False, text=(str(text),))
    model, classifier = compare_runs(config)["runs"]
    assert model["bits_per_byte"] > 1 and classifier["bits_per_byte"] is None
    with pytest.raises(InputError, match="none within --max-text-bytes"):
        compare_runs(config.model_copy(update={"max_text_bytes": 8}))


def test_texts_given_replace_what_was_recorded_on_others(unrecorded: Path, tmp_path: Path) -> None:
    runs = []
    for name, bits in (("one", 0.5), ("other", 0.25)):
        runs.append(shutil.copytree(unrecorded, tmp_path / name))
        manifest = json.loads((runs[-1] / "artifact.json").read_text(encoding="utf-8"))
        manifest["figures"]["heldout_bits_per_byte"] = bits
        manifest["inputs"]["corpus"] = [{"name": name, "sha256": name, "num_bytes": 1}]
        (runs[-1] / "artifact.json").write_text(json.dumps(manifest), encoding="utf-8")
    config = CompareRunsConfig(runs=tuple(runs), latency=False)
    assert compare_runs(config)["notes"] == [
        "bits_per_byte: the runs were measured on different data"
    ]
    text = tmp_path / "text.txt"
    text.write_text("Kıyıda sabah erkenden yağmur yağdı.\n", encoding="utf-8")
    figures = compare_runs(config.model_copy(update={"text": (str(text),)}))
    assert figures["notes"] == []
    one, other = figures["runs"]
    assert one["bits_per_byte"] == other["bits_per_byte"] > 1


def test_a_model_that_cannot_be_loaded_is_listed_with_the_reason(
    tiny_classifier: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_classifier, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(b"\0" * weights.stat().st_size)
    manifest = json.loads((broken / "artifact.json").read_text(encoding="utf-8"))
    (broken / "artifact.json").write_text(json.dumps({**manifest, "digest": "x"}))
    figures = compare_runs(CompareRunsConfig(runs=(tiny_classifier, broken), **QUICK))
    assert figures["runs"][1]["ms_per_prompt"] is None
    assert any("broken was not measured: no readable safetensors" in n for n in figures["notes"])


def test_table_page_and_json(
    tiny_classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "compare.html"

    def run(*flags: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["compare", str(tiny_classifier), "--repeats", "1", *flags])
        assert not ended.value.code
        return capsys.readouterr().out

    table = run("--html", str(page))
    assert "macro F1" in table and "trained parameters" in table
    html = page.read_text(encoding="utf-8")
    assert "Runs compared" in html and "weights on disk" in html
    assert json.loads(run("--json", "--no-latency"))["runs"][0]["kind"] == "classifier"


def test_what_is_no_trained_model_is_refused(
    sample_tokenizer: Path, blank_model: Path, tiny_classifier: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds a tokenizer, no trained model"):
        compare_runs(CompareRunsConfig(runs=(sample_tokenizer,)))
    with pytest.raises(InputError, match="not made by dilmac"):
        compare_runs(CompareRunsConfig(runs=(blank_model,)))
    with pytest.raises(InputError, match="no such folder"):
        compare_runs(CompareRunsConfig(runs=(tmp_path / "nowhere",)))
    with pytest.raises(ConfigError, match="no folder to write to"):
        page = tmp_path / "nowhere" / "page.html"
        compare_runs(CompareRunsConfig(runs=(tiny_classifier,), html=page))
