"""The trainer: accumulation, measuring on the way, the best weights, early stopping, scalars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dilmac.core import ConfigError, DilmacError, MissingDependencyError, read_events
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer
from dilmac.training import FinetuneConfig
from dilmac.training.data.read import read_instructions
from dilmac.training.memory import tuning_out_of_memory
from dilmac.training.tune.metric import import_metric, measure_metric
from tunings import tune


def events(folder: Path, kind: str) -> list[dict[str, float]]:
    return [event for event in read_events(folder / "events.jsonl") if event["event"] == kind]


@pytest.fixture(scope="module")
def undivided(tiny_model: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("batches") / "8"
    return tune(tiny_model, few, out, gradient_checkpointing=True, log_to="tensorboard").path


@pytest.mark.parametrize("micro", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_accumulated_gradients_give_the_same_losses_and_checkpointed_activations_too(
    tiny_model: Path, few: Path, tmp_path: Path, undivided: Path, micro: int
) -> None:
    made = tune(tiny_model, few, tmp_path / "out", micro_batch_size=micro).path
    ours, theirs = events(made, "step"), events(undivided, "step")
    assert len(ours) == len(theirs) >= 3
    for one, other in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_scalars_for_tensorboard(undivided: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    scalars = accumulator.EventAccumulator(str(undivided / "tensorboard"))
    scalars.Reload()
    losses = [event.value for event in scalars.Scalars("train/loss")]
    assert losses == pytest.approx([event["loss"] for event in events(undivided, "step")])


def test_the_best_weights_are_kept_and_training_stops(
    tiny_model: Path, few: Path, tmp_path: Path
) -> None:
    """At an absurd rate the first measurement is the best."""
    made = tune(
        tiny_model,
        few,
        tmp_path / "out",
        epochs=8,
        learning_rate=0.3,
        warmup_share=0.2,
        eval_steps=1,
        patience=3,
        validation_percent=30,
    )
    measured = events(made.path, "validation")
    best = min(measured, key=lambda event: event["loss"])
    assert measured[-1]["loss"] > best["loss"]
    assert made.figures["best_step"] == best["step"]
    assert made.figures["validation_loss"] == round(best["loss"], 4)
    assert made.figures["steps"] == best["step"] + 3 == measured[-1]["step"]
    tables = (load_model(folder).lm_head.weight.detach() for folder in (made.path, tiny_model))
    change = float((next(tables) - next(tables)).abs().max())
    assert change < 0.3 * best["step"] * 1.1  # Adam moves at most the rate a step


def test_a_log_whose_package_is_missing(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install wandb"):
        tune(tiny_model, few, tmp_path / "out", log_to="wandb")


def test_a_metric_of_ones_own(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "olcum_dilmac.py").write_text(
        "def oran(predictions, references):\n"
        "    assert all(isinstance(text, str) for text in predictions + references)\n"
        "    import numpy\n"
        "    share = numpy.float32(0.5)\n"
        "    return {'pairs': len(predictions), 'matched': len(references), 'share': share}\n"
        "def bozuk(predictions, references):\n"
        "    return 'iyi'\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    settings = {"metric_tokens": 4, "metric_examples": 3, "validation_percent": 40}
    made = tune(
        tiny_model, few, tmp_path / "out", method="full", metric="olcum_dilmac:oran", **settings
    )
    assert made.figures["metric"] == {"pairs": 3, "matched": 3, "share": 0.5}
    with pytest.raises(ConfigError, match="not a number"):
        measure_metric(
            import_metric("olcum_dilmac:bozuk"),
            load_model(made.path),
            Tokenizer(made.path),
            read_instructions(few)[:1],
            2,
        )
    (tmp_path / "yarida_dilmac.py").write_text("oran = 1 / 0\n", encoding="utf-8")
    others = ("yok_boyle_modul:oran", ".olcum_dilmac:oran", "yarida_dilmac:oran")
    for wrong in ("olcum_dilmac", "olcum_dilmac:yok", *others):
        with pytest.raises(ConfigError, match="--metric"):
            tune(tiny_model, few, tmp_path / "three", metric=wrong)


def test_memory_that_runs_out_is_said_with_what_to_lower_and_the_progress_ends(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore of it.")

    monkeypatch.setattr("trl.SFTTrainer.compute_loss", full)
    monkeypatch.setattr("dilmac.core.Steps.__exit__", lambda *_: ended.append("progress"))
    with pytest.raises(DilmacError, match="Tried to allocate 2 GiB") as caught:
        tune(tiny_model, few, tmp_path / "out", validation_percent=0)
    assert caught.value.where == "--micro-batch-size" and ended == ["progress"]
    for flag in ("--micro-batch-size 4 (now 8", "--gradient-checkpointing", "--method qlora"):
        assert flag in str(caught.value.mend)
    smallest = FinetuneConfig(
        model=tiny_model, data=("x",), out=tmp_path, method="qlora", batch_size=1
    )
    mend = str(tuning_out_of_memory(MemoryError(), smallest).mend)
    assert "--micro-batch-size" not in mend and "--method" not in mend


def test_other_faults_of_training_stay_what_they_are(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr("trl.SFTTrainer.compute_loss", wrong)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        tune(tiny_model, few, tmp_path / "out", validation_percent=0)


@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_an_example_longer_than_the_model_reads_is_refused(
    tiny_model: Path, few: Path, tmp_path: Path, objective: str
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pair = {"prompt": "Kaç?", "chosen": "Üç.", "rejected": "Beş."}
    pairs.write_text(json.dumps(pair) + "\n", encoding="utf-8")
    data = few if objective == "sft" else pairs
    with pytest.raises(ConfigError, match="4,096 tokens, the model reads") as caught:
        tune(tiny_model, data, tmp_path / "out", max_length=4096, objective=objective)
    assert caught.value.where == "--max-length"


@pytest.mark.parametrize("settings", [{"eval_steps": 1}, {"metric": "math:fmod"}])
def test_measuring_on_nothing_is_refused(
    tiny_model: Path, few: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    """All of the validation is trained on, so that nothing of it is left."""
    with pytest.raises(ConfigError, match="no example is left to measure on"):
        tune(tiny_model, few, tmp_path / "out", validation=str(few), **settings)
    assert not (tmp_path / "out").exists()
