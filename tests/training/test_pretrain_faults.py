"""Faults of a pretraining run: each is said with its place and what to do, and costs nothing."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from dilmac.core import ArtifactError, ConfigError, DilmacError, InputError
from dilmac.training import loop, pretrain
from dilmac.training.loop import StepResult
from killing import run_dilmac
from small_runs import little_corpus, small


@pytest.fixture(scope="module")
def tales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return little_corpus(tmp_path_factory.mktemp("tales"))


def test_hours_that_hold_no_more_than_the_trial_are_refused(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    config = small(tales, sample_tokenizer, tmp_path / "m", tokens=None, hours="0.01s")
    with pytest.raises(ConfigError, match=r"--hours: .* hold no more steps than the 12"):
        pretrain(config)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_checkpoint(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    settings = {"learning_rate": 1e30, "tokens": 20_480, "checkpoint_steps": 1}
    with pytest.raises(DilmacError, match=r"loss runs away.*not finite") as raised:
        pretrain(small(tales, sample_tokenizer, tmp_path / "m", **settings))
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
        ({"params": "1k"}, ConfigError, "--params"),
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
