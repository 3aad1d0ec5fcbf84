"""Pretraining: it learns as long as it is told to, and the world can open what it made."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dilmac.core import (
    open_artifact,
    read_events,
)
from dilmac.training import PretrainConfig, budget, loop, pretrain
from dilmac.training.loop import StepResult
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


@pytest.fixture(scope="module")
def tales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return little_corpus(tmp_path_factory.mktemp("tales"))


def figures(config: PretrainConfig) -> dict[str, Any]:
    return pretrain(config).figures


def test_loss_and_held_out_bits_fall(tiny_model: Path) -> None:
    course = losses(tiny_model)
    measured = [bits for _, bits in heldout(tiny_model)]
    assert sum(course[-5:]) < sum(course[:5]) - 2
    assert measured[-1] < measured[0] - 0.3
    found = open_artifact(tiny_model, "model").figures
    assert found["heldout_bits_per_byte"] > 0
    assert set(found["samples"]) == {"Bir gün", "Türkiye'nin", "Sabah erkenden"}
    assert found["steps"] == len(course) == 59 and found["steps_skipped"] == 0
    assert found["tokens_trained"] == 59 * 1024


def test_folder_opens_in_transformers(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids = tokenizer("Çocuklar okula gitti.", return_tensors="pt").input_ids
    assert type(model).__name__ == "LlamaForCausalLM" and model.dtype == torch.float32
    assert model(input_ids=ids).logits.shape == (1, ids.shape[1], len(tokenizer))
    config = json.loads((tiny_model / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and "auto_map" not in config


def test_nothing_of_the_run_stays_in_the_folder(tiny_model: Path) -> None:
    names = {path.name for path in tiny_model.iterdir()}
    assert not names & {"checkpoints", "tokens", "plan.json", "request.json"}
    assert {"events.jsonl", "curves.html", "README.md", "model.safetensors"} <= names
    assert not {path.suffix for path in tiny_model.iterdir()} & {".bin", ".pt", ".pth", ".pkl"}


def test_step_events_say_how_it_goes(tiny_model: Path) -> None:
    step = next(e for e in read_events(tiny_model / "events.jsonl") if e["event"] == "step")
    names = {"loss", "bits_per_byte", "grad_norm", "rate", "tokens_per_second", "mfu"}
    assert names | {"memory_bytes", "tokens"} <= step.keys()


def test_same_command_gives_the_same_bytes(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    settings = {"tokens": 2000, "sample_prompts": ("Bir gün",)}
    one, two = (
        pretrain(small(tales, sample_tokenizer, tmp_path / name, **settings)) for name in "ab"
    )
    assert one.manifest.files["model.safetensors"] == two.manifest.files["model.safetensors"]
    assert one.figures == two.figures and one.figures["samples"]["Bir gün"].strip()


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_accumulation_changes_nothing(
    optimizer: str, tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    def course(name: str, micro: int) -> list[float]:
        settings = {"tokens": 3000, "micro_batch_tokens": micro, "optimizer": optimizer}
        return losses(pretrain(small(tales, sample_tokenizer, tmp_path / name, **settings)).path)

    whole = course("whole", 8192)
    assert len(whole) == 6
    # Muon rounds its directions to bf16, so sums in another order come back a little larger.
    bound = {"adamw": 1e-5, "muon": 1e-3}[optimizer]
    # Two windows, two windows … and one at a time.
    assert course("halves", 256) == pytest.approx(whole, abs=bound)
    assert course("parts", 128) == pytest.approx(whole, abs=bound)


def test_gradient_checkpointing_changes_nothing(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    settings = {"tokens": 2000, "packing": "best-fit", "mask_documents": True}
    made = [
        pretrain(
            small(
                tales, sample_tokenizer, tmp_path / str(on), **settings, gradient_checkpointing=on
            )
        )
        for on in (False, True)
    ]
    assert losses(made[1].path) == pytest.approx(losses(made[0].path), abs=1e-5)
    one, two = (AutoModelForCausalLM.from_pretrained(run.path).config for run in made)
    assert one.to_dict() == two.to_dict() | {"_name_or_path": one.to_dict()["_name_or_path"]}


def test_budgets_are_steps(tales: Path, sample_tokenizer: Path, tmp_path: Path) -> None:
    def found(name: str, **settings: object) -> dict[str, Any]:
        more = {"tokens": None, "eval_bytes": 100, "batch_tokens": 1024, **settings}
        return figures(small(tales, sample_tokenizer, tmp_path / name, **more))

    assert found("tokens", tokens="4k")["steps"] == 4
    epoch = found("epoch", epochs=1)
    assert epoch["steps"] == -(-epoch["text_tokens"] // 1024)
    assert epoch["epochs"] == pytest.approx(1, abs=0.2)
    half = found("half", epochs=0.5, tokens="2M")
    assert half["steps"] == -(-epoch["text_tokens"] // 2048)


def test_without_a_budget_a_run_ends_after_four_passes_or_twenty_tokens_a_parameter(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dilmac.training import run as module

    config = small(tales, sample_tokenizer, tmp_path / "m", tokens=None, batch_tokens=4096)
    found = figures(config)
    assert found["epochs"] == pytest.approx(4, abs=0.6)
    monkeypatch.setattr(module, "TOKENS_PER_PARAMETER", 0.05)
    config = config.model_copy(update={"out": tmp_path / "few"})
    assert figures(config)["tokens_trained"] == pytest.approx(0.05 * found["parameters"], abs=4096)


@pytest.fixture
def even_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a tenth of a second, whatever the machine is busy with."""
    decide = budget.HoursBudget.decide

    def even(self: Any, seconds: list[float], spent: float, *rest: float, **named: int) -> int:
        return decide(self, [0.1] * len(seconds), 10.0, *rest, **named)

    monkeypatch.setattr(budget.HoursBudget, "decide", even)


@pytest.mark.slow
def test_hours_become_steps_once_and_a_resumed_run_keeps_them(
    even_clock: None,
    tales: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"tokens": None, "hours": "12.5s", "checkpoint_steps": 5, "batch_tokens": 128}
    config = small(tales, sample_tokenizer, tmp_path / "m", **settings)
    plan = tmp_path / ".m.partial" / "plan.json"
    with monkeypatch.context() as patch:
        # The trial's steps count from 0, too.
        stop_at(patch, [18])
        with pytest.raises(StoppedError):
            pretrain(config)
    decided = json.loads(plan.read_text())
    assert decided["num_steps"] == 23  # (12.5 s - 10 s) · 0.95 / 0.1 s
    assert len(decided["trial_seconds"]) == 12
    monkeypatch.setattr(budget.HoursBudget, "decide", None)  # never asked again
    made = pretrain(config)
    assert made.figures["steps"] == 23 == len(steps(made.path))
    # The run begins anew after its trial: it is the run that was told its number of steps.
    told = small(tales, sample_tokenizer, tmp_path / "told", tokens=23 * 128, batch_tokens=128)
    assert same_bits(pretrain(told).path, made.path)


def test_of_hours_and_tokens_the_smaller_counts(
    even_clock: None, tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    settings = {"tokens": 300, "hours": "1h", "batch_tokens": 128}
    assert figures(small(tales, sample_tokenizer, tmp_path / "m", **settings))["steps"] == 3


def test_a_skipped_step_leaves_the_weights_and_is_counted(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, seen = loop._loss_and_gradients, {}

    def spiked(run: Any, step: int) -> StepResult:
        seen[step] = run.model.model.norm.weight.detach().clone(), run.optimizers
        result = compute(run, step)
        return StepResult(float("nan"), result.norm) if step == 3 else result

    monkeypatch.setattr(loop, "_loss_and_gradients", spiked)
    made = pretrain(small(tales, sample_tokenizer, tmp_path / "m", tokens=7 * 512))
    assert torch.equal(seen[3][0], seen[4][0]) and not torch.equal(seen[4][0], seen[5][0])
    assert made.figures["steps_skipped"] == 1
    assert [event["step"] for event in steps(made.path)] == [1, 2, 3, 5, 6, 7]
    skipped = [e for e in read_events(made.path / "events.jsonl") if e["event"] == "skipped"]
    assert [(event["step"], event["reason"]) for event in skipped] == [
        (4, "loss is not finite (nan)")
    ]


@pytest.mark.parametrize(("guard", "wanted"), [(True, 1), (False, 0)])
def test_the_guard_can_be_told_to_leave_outliers_in(
    *,
    guard: bool,
    wanted: int,
    tales: Path,
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compute = loop._loss_and_gradients

    def spiked(run: Any, step: int) -> StepResult:
        run.guard.warmup = 3
        result = compute(run, step)
        return StepResult(result.loss + 40, result.norm) if step == 5 else result

    monkeypatch.setattr(loop, "_loss_and_gradients", spiked)
    config = small(tales, sample_tokenizer, tmp_path / "m", tokens=7 * 512, spike_guard=guard)
    assert figures(config)["steps_skipped"] == wanted


def test_gradients_are_clipped_to_the_norm(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dilmac.training.optimize import Optimizers

    norms: list[float] = []
    step = Optimizers.step

    def watched(self: Optimizers, rate: float) -> None:
        own = [p.grad for part in self.parts for g in part.param_groups for p in g["params"]]
        norms.append(float(torch.nn.utils.get_total_norm(own)))
        step(self, rate)

    monkeypatch.setattr(Optimizers, "step", watched)
    made = pretrain(small(tales, sample_tokenizer, tmp_path / "a", tokens=1500, clip_norm=0.3))
    told = [event["grad_norm"] for event in steps(made.path)]
    assert min(told) > 0.3 and norms == pytest.approx([0.3] * 3, rel=1e-3)
    norms.clear()
    pretrain(small(tales, sample_tokenizer, tmp_path / "b", tokens=1500, clip_norm=0))
    assert norms[0] == pytest.approx(told[0], rel=1e-5)


def test_the_place_of_the_tokens_is_no_setting_of_the_result(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    config = small(tales, sample_tokenizer, tmp_path / "m", tokens=500)
    made = pretrain(config)
    elsewhere = config.model_copy(update={"tokens_folder": tmp_path / "tokens"})
    assert pretrain(elsewhere).manifest.digest == made.manifest.digest
    assert "tokens_folder" not in made.manifest.config


def test_training_goes_on_from_a_model_with_a_longer_context(
    sample_corpus: Path, tiny_model: Path, tmp_path: Path
) -> None:
    settings = {"model": tiny_model, "tokens": 2048, "learning_rate": 1e-5, "context": 256}
    made = pretrain(small(sample_corpus, None, tmp_path / "m", **settings))
    began = losses(made.path)[0]
    assert began < 6.5  # not the 6.9 of a new model
    config = json.loads((made.path / "config.json").read_text())
    assert config["max_position_embeddings"] == 256
    assert config["hidden_size"] == 64
    near = weights(tiny_model)
    for name, tensor in weights(made.path).items():
        torch.testing.assert_close(tensor, near[name], rtol=0, atol=1e-3)
    assert not same_bits(made.path, tiny_model)


def test_params_choose_the_shape(tales: Path, sample_tokenizer: Path, tmp_path: Path) -> None:
    config = small(
        tales,
        sample_tokenizer,
        tmp_path / "m",
        params="400k",
        preset="quick",
        tokens=128,
        batch_tokens=128,
    )
    assert figures(config)["parameters"] == pytest.approx(400_000, rel=0.1)


def test_bf16_halves_the_file_and_the_figures_are_those_of_what_is_saved(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    from dilmac.evaluate import Bits
    from dilmac.models import load_model
    from dilmac.tokenizer import Tokenizer
    from dilmac.training.heldout import HeldOut

    made = {
        kind: pretrain(
            small(tales, sample_tokenizer, tmp_path / kind, tokens=1500, save_precision=kind)
        )
        for kind in ("fp32", "bf16")
    }
    full, half = weights(made["fp32"].path), weights(made["bf16"].path)
    assert {tensor.dtype for tensor in half.values()} == {torch.bfloat16}
    assert all(torch.equal(half[name], tensor.bfloat16()) for name, tensor in full.items())
    config = json.loads((made["bf16"].path / "config.json").read_text())
    assert "bfloat16" in (config.get("dtype"), config.get("torch_dtype"))
    heldout_text = HeldOut(tales, Tokenizer(sample_tokenizer))
    by_source = heldout_text.bits_by_source(load_model(made["bf16"].path))
    measured = round(sum(by_source.values(), Bits()).per_byte, 4)
    assert made["bf16"].figures["heldout_bits_per_byte"] == pytest.approx(measured, abs=2e-4)


def test_scalars_for_tensorboard_on_request(
    tales: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = pretrain(
        small(tales, sample_tokenizer, tmp_path / "m", tokens=1500, log_to="tensorboard")
    )
    log = EventAccumulator(str(made.path / "tensorboard"))
    log.Reload()
    found = [(point.step, point.value) for point in log.Scalars("train/loss")]
    assert found == [(e["step"], pytest.approx(e["loss"])) for e in steps(made.path)]


def test_last_checkpoints_are_kept_while_the_run_goes_on(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, [8])
    settings = {"checkpoint_steps": 2, "keep_checkpoints": 3}
    with pytest.raises(StoppedError):
        pretrain(small(tales, sample_tokenizer, tmp_path / "m", **settings))
    kept = (tmp_path / ".m.partial" / "checkpoints").iterdir()
    assert sorted(int(path.name[5:]) for path in kept) == [4, 6, 8]


def test_a_run_that_diverges_is_told(
    tales: Path, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dilmac.training.spikes import DivergenceWatch

    compute = loop._loss_and_gradients

    def rising(run: Any, step: int) -> StepResult:
        if step == 0:
            run.watch = DivergenceWatch(smooth_steps=3, patience=2)
        return StepResult(2.0 if step < 5 else 4.0, compute(run, step).norm)

    monkeypatch.setattr(loop, "_loss_and_gradients", rising)
    made = pretrain(small(tales, sample_tokenizer, tmp_path / "m", tokens=14 * 512))
    warned = [e for e in read_events(made.path / "events.jsonl") if e["event"] == "warning"]
    assert len(warned) == 1 and "rising" in warned[0]["text"]


@pytest.mark.slow
def test_a_qwen3_is_trained_and_trained_further(
    tmp_path: Path, tales: Path, sample_tokenizer: Path
) -> None:
    shape = small(tales, sample_tokenizer, tmp_path / "first", preset="qwen3-lab")
    first = pretrain(shape)
    model = AutoModelForCausalLM.from_pretrained(first.path)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.config.tie_word_embeddings and model.config.pad_token_id is not None
    further = pretrain(
        small(tales, None, tmp_path / "second", model=first.path, preset=shape.preset)
    )
    measured = [figures["heldout_bits_per_byte"] for figures in (first.figures, further.figures)]
    assert measured[1] < measured[0]
