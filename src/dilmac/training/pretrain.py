"""Pretraining: a plain Llama from scratch, or from a model that there is."""

from __future__ import annotations

import gc
import json
import math
import time
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from dilmac.core import (
    Artifact,
    Build,
    ConfigError,
    DilmacError,
    Figures,
    building,
    open_artifact,
    read_events,
    write_json,
)
from dilmac.evaluate import Bits
from dilmac.explore import write_curves
from dilmac.models import (
    preset_named,
    round_weights,
    save_model,
    with_model_folder,
    write_model_card,
)
from dilmac.tokenizer import copy_tokenizer, pretrained_names, pretrained_path
from dilmac.training.budget import HoursBudget
from dilmac.training.config import PretrainConfig
from dilmac.training.heldout import continuations
from dilmac.training.loop import CHECKPOINTS, bits_within, time_steps, train
from dilmac.training.precision import DTYPES
from dilmac.training.ranks import Ranks
from dilmac.training.resume import load_best, load_weights
from dilmac.training.run import TOKENS, Run, prepare, steps_of

PLAN = "plan.json"  # how many steps the hours of a run are
# Kept until all else is written and has its name: a run that is killed at its end trains no step
# again.
SCRATCH = (CHECKPOINTS, TOKENS, PLAN)
FINAL_EVAL_BYTES = 400_000  # measured at the end, of all sources together [bytes]
OVERHEAD_SHARE = 0.05  # of a run's time: measuring, checkpoints, the end


def pretrain(config: PretrainConfig, *, force: bool = False) -> Artifact:
    """Train a model on a corpus; the result is a folder that `AutoModelForCausalLM` opens.

    An interrupted run goes on at its last checkpoint when the same command is given again. Under
    `torchrun` all processes call this; the main one writes.

    Raises:
        InputError: corpus, tokenizer or model cannot be read, or the text does not fill a window.
        ConfigError: unknown preset, or settings that do not fit together.
        DilmacError: the loss runs away, or memory runs out.
    """
    started = time.monotonic()
    with Ranks(config.parallel) as ranks:
        config = _checked(config)
        inputs = {"corpus": [config.corpus], "more_corpora": list(config.more_corpora)}
        inputs |= {"tokenizer": [config.tokenizer] if config.tokenizer else []}
        inputs |= {"model": [config.model] if config.model else []}
        if not ranks.is_main:
            return _follow(config, ranks, started)
        with building(
            "model", config, inputs, force=force, resumable=True, scratch=SCRATCH
        ) as build:
            ranks.share((build.path, build.done is not None))
            if build.done:
                return build.done
            run = _planned(config, ranks, build.path, started)
            with run.memory_explained():
                timings = train(run)
                with run.plain_model() as model:
                    if model is None:
                        raise AssertionError("the main process has no model")
                    artifact = _finish(run, model, build, timings)
            ranks.share(None)
        return artifact


def _checked(config: PretrainConfig) -> PretrainConfig:
    """The settings, once what they name is there."""
    for corpus in config.corpora:
        open_artifact(corpus, "corpus")
    preset_named(config.preset)
    if config.params is not None and config.preset != PretrainConfig.model_fields["preset"].default:
        raise ConfigError(
            f"a size and the preset {config.preset!r} cannot both be had",
            where="--params",
            mend="leave out --params, or --preset",
        )
    if config.model is None:
        if config.tokenizer is None:
            raise ConfigError(
                "no tokenizer", where="--tokenizer", mend="give one, or --model to go on training"
            )
        return config.model_copy(update={"tokenizer": _tokenizer_folder(config.tokenizer)})
    if config.tokenizer is not None:
        raise ConfigError(
            "a model has its own tokenizer", where="--tokenizer", mend="leave it out, or --model"
        )
    return with_model_folder(config)


def _tokenizer_folder(tokenizer: Path) -> Path:
    """The folder; or of one that ships, by its name, where nothing of that name lies."""
    is_name = str(tokenizer) in pretrained_names() and not tokenizer.exists()
    return pretrained_path(str(tokenizer)) if is_name else tokenizer


def _follow(config: PretrainConfig, ranks: Ranks, started: float) -> Artifact:
    """What every process but the main one does."""
    folder, is_done = ranks.share(None)
    if not is_done:
        run = _planned(config, ranks, folder, started)
        with run.memory_explained():
            train(run)
            with run.plain_model():
                ranks.share(None)
    return open_artifact(config.out, "model")


def _planned(config: PretrainConfig, ranks: Ranks, folder: Path, started: float) -> Run:
    """The run with its number of steps, which hours give only once: see `HoursBudget`."""
    if config.hours is None:
        return prepare(config, ranks, folder)
    plan = folder / PLAN
    if not ranks.share(plan.is_file()):
        _plan(HoursBudget(config.hours), config, ranks, folder, started)
        ranks.share(None)
        gc.collect()  # the trial's model and moments, before there are others
    num_steps = int(json.loads(plan.read_text(encoding="utf-8"))["num_steps"])
    return prepare(config, ranks, folder, num_steps=num_steps)


def _plan(
    budget: HoursBudget, config: PretrainConfig, ranks: Ranks, folder: Path, started: float
) -> None:
    """Time a trial and write how many steps the hours are; the main process's clock decides."""
    trial = prepare(config, ranks, folder, num_steps=budget.trial_steps)
    with trial.memory_explained():
        seconds = time_steps(trial)
    if not ranks.is_main:
        return
    steps = budget.decide(seconds, time.monotonic() - started, OVERHEAD_SHARE)
    if config.tokens is not None or config.epochs is not None:
        steps = min(steps, steps_of(config, trial.model, trial.windows, trial.step_tokens))
    write_json(folder / PLAN, {"num_steps": steps, "trial_seconds": seconds})


def _finish(run: Run, model: PreTrainedModel, build: Build, timings: Figures) -> Artifact:
    config = run.config
    weights_of_step = best_weights(run, model)
    dtype = DTYPES[config.save_precision]
    round_weights(model, dtype)  # the figures are those of the weights that are saved
    figures = training_figures(run, model) | {"weights_of_step": weights_of_step}
    _write_samples(run, figures["samples"])
    save_model(model, build.path, dtype)
    copy_tokenizer(run.tokenizer.folder, build.path)
    write_training_curves(build.path)
    write_model_card(build, figures, how="pretrained", corpora=config.corpora, base=config.model)
    return build.finish(figures, **timings)


def best_weights(run: Run, model: PreTrainedModel) -> int:
    """Put the best weights of the run into `model`, where they are wanted; the step they are of."""
    folder = run.folder / CHECKPOINTS
    best = load_best(folder) if run.config.final_weights == "best" else None
    if best is None:
        return run.last_step
    load_weights(model, best[0], folder)
    return int(best[1]["step"])


def write_training_curves(folder: Path) -> None:
    """Write `curves.html` from the events of the run."""
    write_curves(folder / "events.jsonl", folder / "curves.html")


def _write_samples(run: Run, samples: dict[str, str]) -> None:
    """Once, even where a run that was killed at its end ends again."""
    path = run.events.path
    events = read_events(path) if path.exists() else []
    told = {event["prompt"] for event in events if event["event"] == "sample"}
    for prompt, text in samples.items():
        if prompt not in told:
            run.write("sample", step=run.last_step, prompt=prompt, text=text)


def training_figures(run: Run, model: PreTrainedModel) -> dict[str, Any]:
    """Figures of a model at the end of its run, held-out bits per byte by source among them.

    Raises:
        DilmacError: its loss on held-out text is not finite.
    """
    config, tokens = run.config, run.windows.tokens
    by_source = bits_within(run.heldout, model, FINAL_EVAL_BYTES)
    bits = sum(by_source.values(), Bits())
    if not math.isfinite(bits.nats):
        raise DilmacError(
            "the trained model's loss on held-out text is not finite",
            where=run.folder,
            mend="begin anew with --force and a lower --learning-rate",
        )
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": run.last_step,
        "steps_skipped": run.num_skipped,
        "tokens_trained": (run.last_step - run.num_skipped) * run.step_tokens,
        "text_tokens": tokens.num_tokens,
        "text_bytes": tokens.num_text_bytes,
        "epochs": round(run.last_step * run.batch_size / run.windows.num_windows, 3),
        "padding_share": round(run.windows.padding_share, 4),
        "precision": run.precision,
        "heldout_bits_per_byte": _round(bits),
        "heldout_bits_per_byte_by_source": {name: _round(b) for name, b in by_source.items()},
        "samples": continuations(model, run.tokenizer, config.sample_prompts, config.seed),
    }


def _round(bits: Bits) -> float | None:
    return round(bits.per_byte, 4) if bits.num_bytes else None
