"""Faults of a pretraining run: each is said with its place and what to do, and costs nothing."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dilmac.core import ArtifactError, ConfigError, DilmacError, InputError, read_events
from dilmac.training import loop, pretrain
from dilmac.training import run as preparation
from dilmac.training.loop import StepResult
from dilmac.training.optimize import Optimizers
from dilmac.training.precision import COMPILERS
from dilmac.training.ranks import Ranks
from killing import run_dilmac
from small_runs import StoppedError, little_corpus, losses, same_bits, small, stop_at


@pytest.fixture(scope="module")
def tales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return little_corpus(tmp_path_factory.mktemp("tales"))


@pytest.mark.slow
def test_hours_that_hold_no_more_than_the_trial_are_refused(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    config = small(tales, sample_tokenizer, tmp_path / "m", tokens=None, hours="0.01s")
    with pytest.raises(ConfigError, match=r"--hours: .* hold no more steps than the 12"):
        pretrain(config)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_checkpoint(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    config = small(tales, sample_tokenizer, tmp_path / "m", tokens=20_480, checkpoint_steps=1)
    with pytest.raises(DilmacError, match=r"loss runs away.*not finite") as raised:
        pretrain(config.model_copy(update={"learning_rate": 1e30}))  # no flag takes that
    assert "--learning-rate" in str(raised.value)
    assert not (tmp_path / "m").exists()
    kept = list((tmp_path / ".m.partial" / "checkpoints").iterdir())
    assert [path.name[:5] for path in kept] == ["step-"]


def test_out_of_memory_says_what_to_lower_to_what(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = loop._loss_and_gradients

    def full(run: Any, step: int) -> StepResult:
        if run.micro_batch_size * run.windows.context > 256:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(run, step)

    monkeypatch.setattr(loop, "_loss_and_gradients", full)
    config = small(tales, sample_tokenizer, tmp_path / "m", tokens=1500)
    with pytest.raises(DilmacError, match="out of memory with 512 tokens") as raised:
        pretrain(config)
    advice = re.search(r"--micro-batch-tokens (\d+) \(now 512\)", str(raised.value))
    assert advice and int(advice[1]) == 256
    # The advice is followed without beginning anew.
    made = pretrain(config.model_copy(update={"micro_batch_tokens": int(advice[1])}))
    assert made.figures["steps"] == 3


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Optimizers, "step"),  # makes the moments
        (Ranks, "wrap"),  # moves the model
        (loop, "measure"),
        (sys.modules["dilmac.training.pretrain"], "training_figures"),
    ],
)
def test_memory_may_run_out_anywhere(
    *,
    owner: Any,
    name: str,
    tales: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(owner, name, full)
    with pytest.raises(DilmacError, match="out of memory with 512 tokens"):
        pretrain(small(tales, sample_tokenizer, tmp_path / "m", tokens=500))


def test_other_faults_are_no_memory_faults(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> StepResult:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(loop, "_loss_and_gradients", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        pretrain(small(tales, sample_tokenizer, tmp_path / "m"))


@pytest.mark.parametrize(
    ("settings", "fault", "message"),
    [
        ({"preset": "huge"}, ConfigError, "unknown preset"),
        ({"context": 1 << 20}, InputError, "do not fill one window"),
        ({"tokenizer": None}, ConfigError, "--tokenizer: no tokenizer"),
        ({"corpus": Path("nowhere")}, InputError, "no such folder"),
        ({"precision": "fp16"}, ConfigError, "fp16 is for GPUs"),
        ({"params": "1k", "preset": "quick"}, ConfigError, "--params.*1k"),
        ({"params": "1M"}, ConfigError, "--params: a size and the preset 'tiny'"),
        ({"source_weights": {"nobody": 2.0}}, ConfigError, "no corpus has a source 'nobody'"),
    ],
)
def test_what_does_not_fit_is_refused(
    *,
    settings: dict[str, Any],
    fault: type[DilmacError],
    message: str,
    tales: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(fault, match=message):
        pretrain(small(tales, sample_tokenizer, tmp_path / "m").model_copy(update=settings))
    assert not (tmp_path / "m").exists()


def test_a_model_comes_with_its_own_tokenizer(
    tales: Path, sample_tokenizer: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--tokenizer: a model has its own tokenizer"):
        pretrain(small(tales, sample_tokenizer, tmp_path / "m", model=tiny_model))


def test_tokens_out_of_the_models_range_are_refused(
    tales: Path, sample_tokenizer: Path, tiny_model: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    from dilmac.models import save_model
    from dilmac.tokenizer import copy_tokenizer

    config = AutoModelForCausalLM.from_pretrained(tiny_model).config
    config.vocab_size = 1000  # of a tokenizer of 1,024 rows
    save_model(LlamaForCausalLM(config), tmp_path / "narrow")
    copy_tokenizer(sample_tokenizer, tmp_path / "narrow")
    with pytest.raises(InputError, match=r"1,?024|1,?000"):
        pretrain(small(tales, None, tmp_path / "m", model=tmp_path / "narrow"))


def test_tokens_of_another_corpus_are_refused(
    tales: Path, sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tokens"
    pretrain(small(tales, sample_tokenizer, tmp_path / "a", tokens=500, tokens_folder=folder))
    assert any(folder.iterdir())
    with pytest.raises(ArtifactError, match="made with another corpora"):
        pretrain(small(sample_corpus, sample_tokenizer, tmp_path / "b", tokens_folder=folder))


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "fp16"},
        {"compile": "on"},
        {"params": "1k", "preset": "quick"},
        {"model": Path("nowhere"), "tokenizer": None},
    ],
)
def test_no_text_is_encoded_before_the_settings_are_known_to_be_good(
    *,
    settings: dict[str, Any],
    tales: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def encoded(*_: Any, **__: Any) -> None:
        raise AssertionError("the corpus was encoded")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    every = {name for names in COMPILERS.values() for name in names}
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda n, *a: None if n in every else which(n, *a))
    monkeypatch.setattr(preparation, "tokenize", encoded)
    with pytest.raises((ConfigError, InputError)):
        pretrain(small(tales, sample_tokenizer, tmp_path / "m").model_copy(update=settings))


@pytest.mark.slow
def test_a_fault_at_the_end_trains_no_step_again(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["dilmac.training.pretrain"]
    settings = {"tokens": 3000, "sample_prompts": ("Bir gün",), "save_precision": "bf16"}
    whole = pretrain(small(tales, sample_tokenizer, tmp_path / "whole", **settings))
    config = small(tales, sample_tokenizer, tmp_path / "m", **settings)

    def stopped(*_: Any, **__: Any) -> None:
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_model_card", stopped)
        with pytest.raises(StoppedError):
            pretrain(config)
    assert not config.out.exists()
    monkeypatch.setattr(loop, "_attempt", stopped)
    made = pretrain(config)
    assert same_bits(made.path, whole.path) and made.figures == whole.figures
    names = [[e["event"] for e in read_events(m.path / "events.jsonl")] for m in (made, whole)]
    assert names[0] == names[1] and names[0].count("sample") == 1
    assert not {"checkpoints", "tokens", "request.json"} & {p.name for p in made.path.iterdir()}
    assert made.manifest.run["tokens_per_second"] > 0 and made.manifest.run["mfu"] > 0


def test_a_run_goes_on_where_only_fp16_is_to_be_had(
    tales: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = {"precision": "auto", "checkpoint_steps": 2, "tokens": 4 * 512}
    config = small(tales, sample_tokenizer, tmp_path / "m", **settings)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "resolve_precision", lambda *_: "bf16")
        stop_at(patch, [3])
        with pytest.raises(StoppedError):
            pretrain(config)
    monkeypatch.setattr(preparation, "resolve_precision", lambda *_: "fp16")
    made = pretrain(config)
    assert "was in bf16 up to here; this machine goes on in fp16" in capsys.readouterr().err
    assert len(losses(made.path)) + made.figures["steps_skipped"] == 4
    assert made.figures["precision"] == "fp16"


def strict_events(folder: Path) -> list[dict[str, Any]]:
    """The events, which must be JSON: no NaN, no Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_events_are_json_whatever_was_measured(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = loop._loss_and_gradients

    def spiked(run: Any, step: int) -> StepResult:
        result = compute(run, step)
        return StepResult(float("nan"), float("inf")) if step == 1 else result

    monkeypatch.setattr(loop, "_loss_and_gradients", spiked)
    made = pretrain(small(tales, sample_tokenizer, tmp_path / "m", tokens=3 * 512))
    skipped = [event for event in strict_events(made.path) if event["event"] == "skipped"]
    assert [(event["loss"], event["grad_norm"]) for event in skipped] == [(None, None)]
    assert made.figures["steps_skipped"] == 1 and made.figures["tokens_trained"] == 2 * 512


def test_few_bytes_for_many_sources_measure_some_of_them(
    sample_tokenizer: Path, tmp_path: Path
) -> None:
    from corpora import documents
    from dilmac.corpus import CorpusConfig, build_corpus

    source = tmp_path / "many.jsonl"
    rows = [{"text": text, "from": f"s{n % 8}"} for n, text in enumerate(documents(80))]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    corpus = build_corpus(
        CorpusConfig(
            inputs=(str(source),), out=tmp_path / "many", holdout_percent=30, source_field="from"
        )
    ).path
    settings = {"tokens": 512, "eval_bytes": 20}
    made = pretrain(small(corpus, sample_tokenizer, tmp_path / "m", **settings))
    measured = [event for event in strict_events(made.path) if event["event"] == "heldout"]
    assert len(measured) == 2
    assert all(len(e["by_source"]) == 1 and e["bits_per_byte"] > 0 for e in measured)
    assert len(made.figures["heldout_bits_per_byte_by_source"]) > 4


@pytest.mark.slow
def test_every_fault_ends_the_command_with_two_and_no_traceback(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    places = ["--corpus", str(sample_corpus), "--tokenizer", str(sample_tokenizer)]
    places += ["--out", str(tmp_path / "m"), "--tokens", "3000"]
    for more in (["--preset", "huge"], ["--context", "1000000"], ["--learning-rate", "1e30"]):
        preset = [] if "--preset" in more else ["--preset", "tiny"]
        ended = run_dilmac("pretrain", *places, *preset, *more, "--force")
        assert ended.returncode == 2, ended.stderr
        assert "error: " in ended.stderr and "Traceback" not in ended.stderr
