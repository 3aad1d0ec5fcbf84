"""Killed at any moment, a run goes on as if nothing had been: bit for bit on the CPU."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dilmac.core import ArtifactError, DiskFullError, InputError, open_artifact, read_events
from dilmac.training import loop, pretrain, resume
from dilmac.training.optimize import Optimizers
from dilmac.training.resume import load_best, load_checkpoint, save_best, save_checkpoint
from killing import TIMEOUT_SECONDS, has_steps, kill_dilmac_when, run_dilmac
from small_runs import (
    StoppedError,
    heldout,
    little_corpus,
    losses,
    same_bits,
    small,
    steps,
    stop_at,
    weights,
)

# 40 steps; an epoch of the little corpus is some fifteen.
SETTINGS: dict[str, Any] = {"context": 64, "tokens": 40 * 512, "checkpoint_steps": 6}
SETTINGS |= {"eval_steps": 8}
VARIANTS: dict[str, dict[str, Any]] = {
    "muon": {"optimizer": "muon"},
    "adamw, wsd, accumulated": {
        "optimizer": "adamw",
        "schedule": "wsd",
        "micro_batch_tokens": 128,
        "keep_checkpoints": 2,
    },
    "muon, packed, masked, best": {
        "packing": "best-fit",
        "mask_documents": True,
        "final_weights": "best",
        "learning_rate": 0.05,  # held-out text is soon predicted worse
    },
    "bf16": {"precision": "bf16"},
}


@pytest.fixture(scope="module")
def tales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return little_corpus(tmp_path_factory.mktemp("tales"))


def require_same(ours: Path, theirs: Path) -> None:
    """Every loss, norm, rate and measurement, and every bit of the weights."""
    assert steps(ours) == steps(theirs)
    assert heldout(ours) == heldout(theirs)
    assert same_bits(ours, theirs)
    one, two = open_artifact(ours), open_artifact(theirs)
    assert one.figures == two.figures
    assert one.manifest.files["model.safetensors"] == two.manifest.files["model.safetensors"]


@pytest.mark.parametrize("variant", ["muon", "muon, packed, masked, best"])
def test_stopped_at_steps_and_repeated_equals_an_undisturbed_run(
    variant: str,
    tales: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = SETTINGS | VARIANTS[variant]
    undisturbed = pretrain(small(tales, sample_tokenizer, tmp_path / "whole", **settings))
    assert undisturbed.figures["epochs"] > 1.5
    config = small(tales, sample_tokenizer, tmp_path / "stopped", **settings)
    when = [3, 17, 32]  # before the first checkpoint, and in every epoch
    with monkeypatch.context() as patch:
        stop_at(patch, when)
        for _ in when:
            with pytest.raises(StoppedError):
                pretrain(config)
        pretrain(config)
    require_same(config.out, undisturbed.path)


def killed_run(asked: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    settings = folder / "killed.json"
    settings.write_text(json.dumps(asked), encoding="utf-8")
    script = Path(__file__).parents[1] / "killed_runs.py"
    return subprocess.run(
        [sys.executable, str(script), str(settings)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


@pytest.mark.slow
@pytest.mark.parametrize("variant", [*VARIANTS, "compiled"])
def test_killed_at_eight_random_steps_and_in_checkpoints_equals_an_undisturbed_run(
    variant: str, tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    if variant == "compiled" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("torch.compile needs a C++ compiler")
    settings = SETTINGS | VARIANTS.get(variant, {"compile": "on"})
    whole, killed = (
        small(tales, sample_tokenizer, tmp_path / name, **settings) for name in ("whole", "killed")
    )
    none: dict[str, Any] = {"kills": [], "kills_in_checkpoints": []}
    ended = killed_run(none | {"config": whole.model_dump(mode="json")}, tmp_path)
    assert ended.returncode == 0, ended.stderr
    places = sorted(random.Random(variant).sample(range(1, 40), 8))
    # What a life has written before it dies in a checkpoint is one file of state at most.
    asked = {"kills": places, "kills_in_checkpoints": [1], "config": killed.model_dump(mode="json")}
    ended = killed_run(asked, tmp_path)
    assert ended.returncode == 0, ended.stderr
    require_same(killed.out, whole.out)


@pytest.mark.slow
def test_the_command_killed_and_repeated_gives_the_bytes_of_an_undisturbed_run(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    def flags(out: Path) -> list[str]:
        places = ["--corpus", str(sample_corpus), "--tokenizer", str(sample_tokenizer)]
        budget = ["--tokens", "81920", "--batch-tokens", "1024", "--checkpoint-steps", "7"]
        sizes = ["--preset", "tiny", "--eval-bytes", "2000", "--eval-steps", "20"]
        return ["pretrain", *places, *budget, *sizes, "--out", str(out)]

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert run_dilmac(*flags(undisturbed)).returncode == 0
    events = tmp_path / ".killed.partial" / "events.jsonl"
    assert kill_dilmac_when(lambda: has_steps(events, 24), *flags(killed))
    assert not killed.exists()
    again = run_dilmac(*flags(killed))
    assert again.returncode == 0 and "going on at step" in again.stderr
    require_same(killed, undisturbed)
    assert [event["step"] for event in steps(killed)] == list(range(1, 81))


def test_guard_and_watch_go_on_where_they_were(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, Any]] = []
    took: list[tuple[float, float]] = []
    write = loop._state

    def kept(run: Any, step: int) -> dict[str, Any]:
        state = write(run, step)
        took.append((state["seconds"], state["mfu"]))
        states.append({k: v for k, v in state.items() if k not in {"seconds", "mfu"}})
        return state

    monkeypatch.setattr(loop, "_state", kept)
    settings = SETTINGS | {"tokens": 12 * 512}
    pretrain(small(tales, sample_tokenizer, tmp_path / "whole", **settings))
    undisturbed = states.pop()
    config = small(tales, sample_tokenizer, tmp_path / "stopped", **settings)
    with monkeypatch.context() as patch:
        stop_at(patch, [8])
        with pytest.raises(StoppedError):
            pretrain(config)
    first_part = took[-1][0]
    made = pretrain(config)
    assert states[-1] == undisturbed
    # Of both processes together.
    assert took[-1][0] > first_part > 0 and took[-1][1] > 0
    assert made.manifest.run["train_seconds"] == round(took[-1][0], 1)
    assert len(undisturbed["guard"]["losses"]) == 12 and undisturbed["watch"]["num_steps"] == 12


def test_memory_settings_may_change_on_the_way_but_nothing_that_decides_the_result(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(**changes: object) -> Any:
        settings = SETTINGS | {"tokens": 10 * 512, **changes}
        return small(tales, sample_tokenizer, tmp_path / "m", **settings)

    with monkeypatch.context() as patch:
        stop_at(patch, [8])
        with pytest.raises(StoppedError):
            pretrain(config())
    with pytest.raises(ArtifactError, match="learning_rate was"):
        pretrain(config(learning_rate=1e-4))
    made = pretrain(config(micro_batch_tokens=128, gradient_checkpointing=True, keep_checkpoints=3))
    assert len(losses(made.path)) == 10
    with pytest.raises(ArtifactError, match="learning_rate was"):
        pretrain(config(learning_rate=1e-4))


def net() -> tuple[nn.Module, Optimizers]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    return model, Optimizers(model, "adamw", weight_decay=0.1, table_rate=1.0)


def moved(model: nn.Module, optimizers: Optimizers) -> None:
    model(torch.ones(2, 4)).square().sum().backward()
    optimizers.step(0.1)
    optimizers.zero_grad()


def saved(folder: Path, step: int = 1, keep: int = 1, **identity: object) -> tuple[Any, Any]:
    model, optimizers = net()
    moved(model, optimizers)
    save_checkpoint(folder, {"step": step, "identity": identity}, model, optimizers, keep=keep)
    return model, optimizers


def test_a_checkpoint_holds_weights_and_moments_without_pickle(tmp_path: Path) -> None:
    model, optimizers = saved(tmp_path, kind="x")
    other, theirs = net()
    assert load_checkpoint(tmp_path, {"kind": "x"}, other, theirs) == {
        "step": 1,
        "identity": {"kind": "x"},
    }
    files = {path.name for path in (tmp_path / "step-00000001").iterdir()}
    assert files == {"model.safetensors", "optimizer.safetensors", "state.json"}
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        ours, its = optimizers.state_of(one), theirs.state_of(two)
        assert ours.keys() == its.keys() and all(torch.equal(ours[k], its[k]) for k in ours)


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (2, 9, 10, 100):
        saved(tmp_path, step, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]


def test_a_process_that_does_not_write_copies_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizers = net()
    moved(model, optimizers)
    monkeypatch.setattr(resume, "whole", None)
    save_checkpoint(tmp_path / "c", {"step": 1}, model, optimizers, writes=False)
    assert not (tmp_path / "c").exists()


def test_another_transformers_is_no_other_model(tiny_model: Path) -> None:
    from dilmac.models import load_model
    from dilmac.training.run import shape_digest

    model = load_model(tiny_model)
    before = shape_digest(model)
    model.config.transformers_version, model.config._name_or_path = "99.0", "elsewhere"
    model.config.dtype = torch.bfloat16
    assert shape_digest(model) == before
    model.config.rope_parameters = {"rope_type": "default", "rope_theta": 5.0}
    assert shape_digest(model) != before


def test_no_checkpoint_is_the_beginning(tmp_path: Path) -> None:
    model, optimizers = net()
    assert load_checkpoint(tmp_path / "none", {}, model, optimizers) is None


@pytest.mark.parametrize("name", ["model", "tokenizer_or_text", "number_of_steps"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, name: str) -> None:
    identity = {"model": "a", "tokenizer_or_text": "b", "number_of_steps": 7}
    saved(tmp_path, **identity)
    model, optimizers = net()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(InputError, match=f"another {name.replace('_', ' ')}.*\n.*--force"):
        load_checkpoint(tmp_path, identity | {name: "other"}, model, optimizers)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    other = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5))
    optimizers = Optimizers(other, "adamw", weight_decay=0.1, table_rate=1.0)
    with pytest.raises(InputError, match=r"0.weight is \[5, 4\], found \[4, 4\]"):
        load_checkpoint(tmp_path, {}, other, optimizers)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_damaged_checkpoint_is_said_with_its_file(tmp_path: Path, file: str, damage: str) -> None:
    saved(tmp_path)
    path = tmp_path / "step-00000001" / file
    if damage == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"[]" + b" " * 90)
    model, optimizers = net()
    with pytest.raises(
        InputError, match=f"{file}: the checkpoint is damaged.*\n.*delete its folder"
    ):
        load_checkpoint(tmp_path, {}, model, optimizers)


@pytest.mark.parametrize("place", ["before the first rename", "between", "before the last removal"])
def test_best_weights_are_never_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def best(step: int) -> None:
        save_best(tmp_path, {"step": step}, {"w": torch.full((2,), float(step))})

    best(1)
    with monkeypatch.context() as patch:
        replace, calls = Path.replace, []

        def cut_off(path: Path, target: Path) -> Path:
            calls.append(path)
            if len(calls) == {"before the first rename": 2, "between": 3}.get(place, 99):
                raise StoppedError
            return replace(path, target)

        patch.setattr(Path, "replace", cut_off)  # the first is that of state.json
        if place == "before the last removal":
            patch.setattr(resume.shutil, "rmtree", lambda *_, **__: None)
            best(2)
        else:
            with pytest.raises(StoppedError):
                best(2)
    kept = load_best(tmp_path)
    assert kept is not None
    assert float(kept[0]["w"][0]) == kept[1]["step"] == (2 if "removal" in place else 1)
    best(3)
    kept = load_best(tmp_path)
    assert kept is not None and kept[1]["step"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint_and_the_run_goes_on_from_it(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS | {"tokens": 15 * 512}
    whole = pretrain(small(tales, sample_tokenizer, tmp_path / "whole", **settings))
    config = small(tales, sample_tokenizer, tmp_path / "full", **settings)
    checkpoints = tmp_path / ".full.partial" / "checkpoints"
    save, calls = resume.save_file, []

    def full(tensors: Any, path: Path) -> None:
        calls.append(path)
        save(tensors, path)
        if len(calls) == 4:  # the moments of the second checkpoint
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(resume, "save_file", full)
        with pytest.raises(DiskFullError, match="the disk is full"):
            pretrain(config)
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000006"]
    assert load_file(checkpoints / "step-00000006" / "model.safetensors")
    pretrain(config)
    require_same(config.out, whole.path)


def test_the_best_weights_are_those_measured_best(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    settings = SETTINGS | {"learning_rate": 0.05, "tokens": 32 * 512, "schedule": "constant"}
    out = {}
    for choice in ("best", "last"):
        config = small(tales, sample_tokenizer, tmp_path / choice, **settings, final_weights=choice)
        out[choice] = pretrain(config)
    measured = heldout(out["best"].path)
    best = min(measured[1:], key=lambda pair: pair[1])[0]
    assert out["best"].figures["weights_of_step"] == best
    assert out["last"].figures["weights_of_step"] == measured[-1][0] == 32
    same = all(
        torch.equal(a, b)
        for a, b in zip(
            weights(out["best"].path).values(), weights(out["last"].path).values(), strict=True
        )
    )
    assert same == (best == 32)


def test_events_before_the_first_checkpoint_do_not_stay_twice(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(tales, sample_tokenizer, tmp_path / "m", **SETTINGS | {"tokens": 5 * 512})
    with monkeypatch.context() as patch:
        stop_at(patch, [2])
        with pytest.raises(StoppedError):
            pretrain(config)
    pretrain(config)
    events = [
        (event["event"], event.get("step")) for event in read_events(config.out / "events.jsonl")
    ]
    assert len(events) == len(set(events))
    assert events[0] == ("heldout", 0)
