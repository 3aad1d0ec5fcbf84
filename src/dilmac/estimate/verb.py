"""`dilmac estimate`: a stage, or all of a recipe, before it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dilmac.core import Config, Figures, StageConfig
from dilmac.estimate.ask import Ask
from dilmac.estimate.config import EstimateConfig, RecipeEstimateConfig
from dilmac.estimate.devices import target_of
from dilmac.estimate.facts import Facts, Known, UnknownError
from dilmac.estimate.finetune_stage import estimate_finetune, expect_finetuned
from dilmac.estimate.heal_stage import estimate_heal, expect_healed
from dilmac.estimate.pretrain_stage import estimate_pretrain, expect_pretrained
from dilmac.estimate.rough_stages import (
    estimate_corpus,
    estimate_extension,
    estimate_gguf,
    estimate_tokenizer,
    estimate_transplant,
    expect_corpus,
    expect_extension,
    expect_tokenizer,
    expect_transplant,
)
from dilmac.estimate.stage import Stage
from dilmac.recipe import apply_change, check_stages, load_recipe

Estimator = Callable[[Stage, Any, Known, Ask], None]
Expectation = Callable[[Any, Known], Facts]

# Verb → what it takes, and what it will have made.
ESTIMATED: dict[str, tuple[Estimator, Expectation | None]] = {
    "corpus build": (estimate_corpus, expect_corpus),
    "tokenizer train": (estimate_tokenizer, expect_tokenizer),
    "tokenizer extend": (estimate_extension, expect_extension),
    "pretrain": (estimate_pretrain, expect_pretrained),
    "transplant": (estimate_transplant, expect_transplant),
    "heal": (estimate_heal, expect_healed),
    "finetune": (estimate_finetune, expect_finetuned),
    "export gguf": (estimate_gguf, None),
    "export ollama": (estimate_gguf, None),
}


def estimate_stage(verb: str, stage: Config, config: EstimateConfig) -> Figures:
    """Memory, time and cost of one verb with its settings.

    Raises:
        ConfigError: the device is not known.
        InputError: an input that lies there cannot be read.
    """
    ask = Ask(config, target_of(config))
    found = _estimated(Stage(verb, verb), stage, Known(), ask)
    return _figures([found], ask)


def estimate_recipe(config: RecipeEstimateConfig) -> Figures:
    """The same of every stage of a recipe in its order, and of all together.

    What a stage will have made is told from its settings to those after it.

    Raises:
        ConfigError: the recipe or a `--set` names something unknown; or the device.
        InputError: the recipe, or an input that lies there, cannot be read.
    """
    ask = Ask(config, target_of(config))
    values = load_recipe(config.recipe)
    for change in config.set:
        apply_change(values, change)
    folder = config.out or Path(values.get("out") or config.recipe.stem)
    known = Known()
    found = []
    # A model may stand in the catalogue alone: what is nowhere is refused when its turn comes.
    for stage in check_stages(values, config.recipe, folder, require_models=False):
        estimate = Stage(stage.name, stage.verb)
        found.append(_estimated(estimate, stage.config, known, ask))
        if isinstance(stage.config, StageConfig):
            known.made[stage.config.out] = _expected(stage.verb, stage.config, known)
    return _figures(found, ask)


def _estimated(stage: Stage, config: Any, known: Known, ask: Ask) -> Stage:
    """The stage with its figures filled in; what cannot be known is said."""
    if isinstance(config, StageConfig) and (config.out / "artifact.json").is_file():
        stage.is_done = True
        stage.notes.append(f"{config.out} is complete: nothing to do, if nothing was changed")
        return stage
    if stage.verb not in ESTIMATED:
        stage.unknown.append(f"{stage.verb} has no formulas yet")
        return stage
    try:
        ESTIMATED[stage.verb][0](stage, config, known, ask)
    except UnknownError as error:
        stage.unknown.append(str(error))
    return stage


def _expected(verb: str, config: Any, known: Known) -> Facts:
    expect = ESTIMATED.get(verb, (None, None))[1]
    if expect is None:
        return UnknownError(f"what {verb} makes is not known here")
    try:
        return expect(config, known)
    except UnknownError as error:
        return error


def _figures(stages: list[Stage], ask: Ask) -> Figures:
    price, count = ask.config.price_per_hour, ask.target.count
    times = [stage.total_seconds for stage in stages]
    known = [seconds for seconds in times if seconds is not None]
    peaks = [stage.peak_bytes for stage in stages if stage.peak_bytes is not None]
    total = sum(known)
    return {
        "device": ask.target.name,
        "devices": count,
        "device_memory_bytes": ask.target.memory,
        "stages": {stage.name: stage.figures(price, count) for stage in stages},
        "total": {
            "seconds": round(total, 1),
            "is_whole": len(known) == len(times),
            "peak_memory_bytes": max(peaks, default=None),
            "cost": None if price is None else round(total / 3600 * price * count, 4),
        },
    }
