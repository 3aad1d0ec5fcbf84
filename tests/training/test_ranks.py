"""Two processes do what one does: the same losses, checkpoints that fit both, one voice."""

import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from dilmac.core import ConfigError, open_artifact
from dilmac.training import PretrainConfig, pretrain
from dilmac.training.ranks import Ranks, like, whole
from killing import TIMEOUT_SECONDS
from small_runs import StoppedError, heldout, losses, small, steps, stop_at, weights

TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def in_two(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in two processes that torchrun starts."""
    return subprocess.run(
        [sys.executable, *TWO, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )


def run_in_two(configs: list[PretrainConfig], folder: Path) -> None:
    """Runs, one after the other in one pair of processes."""
    asked = folder / "runs.json"
    dumped = [config.model_dump(mode="json") for config in configs]
    asked.write_text(json.dumps(dumped), encoding="utf-8")
    ended = in_two(str(Path(__file__).parents[1] / "several_runs.py"), str(asked))
    assert ended.returncode == 0, ended.stderr[-4000:]


def norms(folder: Path) -> list[float]:
    return [event["grad_norm"] for event in steps(folder)]


def require_near(ours: Path, theirs: Path, num_steps: int, *, near: float = 1e-5) -> None:
    """The losses of one process, and its weights nearly.

    Muon orthogonalizes in bf16, where the last bit of a sum of gradients may turn a rounding: its
    runs drift apart by some 2e-6 a step.
    """
    found, wanted = losses(ours), losses(theirs)
    assert len(found) == num_steps
    assert found == pytest.approx(wanted, abs=near)
    # AdamW and Muon hardly see gradients of twice the size; their norm tells.
    assert norms(ours) == pytest.approx(norms(theirs), rel=1e-3)
    assert dict(heldout(ours)) == pytest.approx(dict(heldout(theirs)), abs=2e-4)
    one, two = weights(ours), weights(theirs)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert (tensor - two[name]).norm() < 100 * near * two[name].norm(), name


def variants(num: int) -> list[dict[str, Any]]:
    """Every way to train in two processes, the most different ones first."""
    ways = [
        {"parallel": "fsdp", "optimizer": "muon"},
        {"parallel": "ddp", "optimizer": "adamw", "micro_batch_tokens": 128},
    ]
    for parallel, optimizer, packing, micro in product(
        ("ddp", "fsdp"), ("muon", "adamw"), ("concat", "best-fit"), (8192, 128)
    ):
        ways.append(
            {
                "parallel": parallel,
                "optimizer": optimizer,
                "packing": packing,
                "mask_documents": packing == "best-fit",
                "micro_batch_tokens": micro,
                "gradient_checkpointing": micro == 128,
            }
        )
    return ways[:num]


def compare(
    ways: list[dict[str, Any]], corpus: Path, tokenizer: Path, folder: Path, **settings: object
) -> None:
    ours, theirs = [], []
    for number, way in enumerate(ways):
        merged = {"tokens": 3 * 512, "compile": "off", **settings, **way}
        for kind, configs in (("two", ours), ("one", theirs)):
            configs.append(small(corpus, tokenizer, folder / f"{kind}-{number}", **merged))
    run_in_two(ours, folder)
    for config, other in zip(ours, theirs, strict=True):
        pretrain(other)
        require_near(config.out, other.out, 3)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    compare(variants(2), sample_corpus, sample_tokenizer, tmp_path)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_in_every_way(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    compare(variants(100)[2:], sample_corpus, sample_tokenizer, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_model_with_an_output_matrix_of_its_own_is_sharded_too(
    optimizer: str, sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path, untied: Path
) -> None:
    ways = [{"parallel": parallel, "optimizer": optimizer} for parallel in ("ddp", "fsdp")]
    compare(ways, sample_corpus, None, tmp_path, model=untied)


@pytest.fixture(scope="module")
def untied(
    sample_tokenizer: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model folder whose output matrix is its own."""
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    from dilmac.models import save_model
    from dilmac.tokenizer import copy_tokenizer

    folder = tmp_path_factory.mktemp("untied")
    config = AutoModelForCausalLM.from_pretrained(tiny_model).config
    config.tie_word_embeddings = False
    torch.manual_seed(5)
    save_model(LlamaForCausalLM(config), folder)
    copy_tokenizer(sample_tokenizer, folder)
    assert "lm_head.weight" in weights(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_run_goes_on_from_one_process_to_two_and_back(
    *,
    parallel: str,
    optimizer: str,
    sample_corpus: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings: dict[str, Any] = {"tokens": 12 * 512, "optimizer": optimizer, "compile": "off"}
    settings |= {"checkpoint_steps": 4, "final_weights": "best", "eval_steps": 4}
    whole_run = small(sample_corpus, sample_tokenizer, tmp_path / "whole", **settings)
    pretrain(whole_run)
    settings |= {"parallel": parallel}
    begun = small(sample_corpus, sample_tokenizer, tmp_path / "begun", **settings)
    with monkeypatch.context() as patch:
        stop_at(patch, [6])
        with pytest.raises(StoppedError):
            pretrain(begun)
    run_in_two([begun], tmp_path)  # from step 4 on
    require_near(begun.out, whole_run.out, 12, near=1e-4)
    # Begun by two processes, which are ended by a fault after a checkpoint, ended by one.
    other = small(sample_corpus, sample_tokenizer, tmp_path / "other", **settings)
    script = tmp_path / "stopping.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from dilmac.training import PretrainConfig, loop, pretrain\n"
        "attempt = loop._attempt\n"
        "def stopping(run, step):\n"
        "    if step == 6: raise KeyboardInterrupt\n"
        "    return attempt(run, step)\n"
        "loop._attempt = stopping\n"
        f"pretrain(PretrainConfig.model_validate_json({other.model_dump_json()!r}))\n",
        encoding="utf-8",
    )
    assert in_two(str(script)).returncode != 0
    saved = tmp_path / ".other.partial" / "checkpoints" / "step-00000004"
    assert saved.is_dir() and not other.out.exists()
    pretrain(other)
    require_near(other.out, whole_run.out, 12, near=1e-4)
    assert open_artifact(other.out).figures["weights_of_step"] == 12


def flags(corpus: Path, tokenizer: Path, out: Path, *more: str) -> list[str]:
    places = ["--corpus", str(corpus), "--tokenizer", str(tokenizer), "--out", str(out)]
    preset = [] if "--preset" in more else ["--preset", "tiny"]
    return ["-m", "dilmac", "pretrain", *places, *preset, "--compile", "off", *more]


@pytest.mark.slow
def test_the_command_speaks_with_one_voice(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    ended = in_two(
        *flags(sample_corpus, sample_tokenizer, tmp_path / "m"),
        *("--tokens", "3000", "--batch-tokens", "512", "--eval-bytes", "500"),
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert ended.stdout.count("artifact:") == 1
    assert ended.stderr.count("2 x cpu (ddp)") == 1
    assert open_artifact(tmp_path / "m").manifest.run["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--batch-tokens", "384"), "3 windows in a step cannot be dealt evenly to 2 processes"),
        (("--preset", "huge"), "unknown preset 'huge'"),
        (("--weight-decay", "1e38", "--tokens", "20480"), "not finite"),
        (("--epochs", "-1"), "--epochs"),
    ],
)
def test_an_error_ends_all_processes_and_is_told_once(
    more: tuple[str, ...],
    message: str,
    sample_corpus: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
) -> None:
    ended = in_two(*flags(sample_corpus, sample_tokenizer, tmp_path / "m", *more))
    assert ended.returncode != 0
    assert len(re.findall(r"^error: ", ended.stderr, re.MULTILINE)) == 1, ended.stderr
    assert message in ended.stderr
    assert "exitcode  : 2" in ended.stderr
    # torchrun shows its own traceback; of ours there is none.
    assert "dilmac/training" not in ended.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_an_error_of_one_process_only_ends_all_and_is_told(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    config = small(sample_corpus, sample_tokenizer, tmp_path / "m", compile="off")
    script = tmp_path / "failing.py"
    script.write_text(
        "import os, sys, torch\n"
        "from dilmac import cli\n"
        "from dilmac.training import PretrainConfig, loop\n"
        "gradients = loop._loss_and_gradients\n"
        "def failing(run, step):\n"
        "    if step == 2 and run.ranks.rank == 1: raise torch.OutOfMemoryError('out of memory')\n"
        "    return gradients(run, step)\n"
        "loop._loss_and_gradients = failing\n"
        f"cli.main({flags(sample_corpus, sample_tokenizer, config.out)[2:]!r})\n",
        encoding="utf-8",
    )
    ended = in_two(str(script))
    assert ended.returncode != 0
    assert len(re.findall(r"^error: ", ended.stderr, re.MULTILINE)) == 1, ended.stderr
    assert ended.stderr.count("out of memory with") == 1


def test_alone_nothing_is_shared_or_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with Ranks("fsdp") as ranks:
        assert ranks.is_main and not ranks.is_sharded
        assert ranks.share({"a": 1}) == {"a": 1}
        assert ranks.sum(torch.tensor(3.0)) == 3
        ranks.require_rows(7)
    assert not torch.distributed.is_initialized()


def test_the_place_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": 5, "WORLD_SIZE": 8, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))
    ranks = Ranks("fsdp")
    assert (ranks.rank, ranks.num_ranks, ranks.num_local) == (5, 8, 4)
    assert ranks.is_sharded and not ranks.is_main
    ranks.require_rows(16)
    with pytest.raises(ConfigError, match="12 windows in a step cannot be dealt evenly to 8"):
        ranks.require_rows(12)


def test_whole_tensors_pass_through() -> None:
    tensor = torch.randn(3, 4).t()
    assert torch.equal(whole(tensor), tensor) and whole(tensor).is_contiguous()
    assert torch.equal(like(tensor, tensor), tensor)
