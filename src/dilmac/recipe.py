"""A whole life in one YAML: stages in order, each named, each resumable.

    out: my-model
    stages:
      corpus:
        verb: corpus build
        inputs: ["texts/*.jsonl.zst"]
      tokenizer:
        verb: tokenizer train
        corpus: "@corpus"            # the artifact of the stage named corpus
        vocab_size: 16000

`@sample.text` and `@sample.instructions` are what ships with the package. Everything is checked
before the first stage starts.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from dilmac.core import (
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    Figures,
    InputError,
    StageConfig,
    bundled_instructions,
    bundled_raw_text,
    input_record,
    say,
    unknown_key,
    write_json,
)
from dilmac.models import model_folder

# Verb → room, Config, function. Rooms are imported when a recipe names them.
VERBS = {
    "corpus build": ("dilmac.corpus", "CorpusConfig", "build_corpus"),
    "tokenizer train": ("dilmac.tokenizer", "TokenizerConfig", "train_tokenizer"),
    "tokenizer extend": ("dilmac.tokenizer", "ExtendConfig", "extend_tokenizer"),
    "pretrain": ("dilmac.training", "PretrainConfig", "pretrain"),
    "finetune": ("dilmac.training", "FinetuneConfig", "finetune"),
    "adapters merge": ("dilmac.training", "MergeAdapterConfig", "merge_named_adapter"),
    "classify train": ("dilmac.training", "ClassifyConfig", "classify_train"),
    "transplant": ("dilmac.transplant", "TransplantConfig", "transplant"),
    "heal": ("dilmac.transplant", "HealConfig", "heal"),
    "evaluate": ("dilmac.evaluate", "EvaluateConfig", "evaluate"),
    "compare": ("dilmac.evaluate", "CompareRunsConfig", "compare_runs"),
    "export gguf": ("dilmac.export", "GgufConfig", "export_gguf"),
    "export ollama": ("dilmac.export", "OllamaConfig", "export_ollama"),
    "export adapter": ("dilmac.export", "AdapterConfig", "export_adapter"),
    "export onnx": ("dilmac.export", "OnnxConfig", "export_onnx"),
    "export compressed": ("dilmac.export", "CompressedConfig", "export_compressed"),
}
WRITTEN = ("html", "items")  # settings that name files which a stage writes
SAMPLES: dict[str, Callable[[], list[Path]]] = {
    "sample.text": bundled_raw_text,
    "sample.instructions": bundled_instructions,
}


class RecipeConfig(Config):
    """Run the stages of a recipe in order; what is complete is skipped."""

    recipe: Path = Field(description="recipe file (YAML)")
    out: Path | None = Field(None, description="folder of all stages; the recipe's own by default")
    from_stage: str | None = Field(
        None, description="make this stage and all after it again, even if complete"
    )
    set: tuple[str, ...] = Field((), description="change a setting: stage.key=value; repeatable")


@dataclass(frozen=True)
class Stage:
    """One stage, checked and ready to run."""

    name: str
    verb: str
    config: Config
    run: Callable[..., Any]
    settings: dict[str, Any]  # as the recipe says them, references unresolved
    inputs: tuple[Path, ...]  # artifacts of earlier stages, files and folders that it reads


@dataclass(frozen=True)
class RecipeRun:
    """What a recipe made: a folder for each stage, and its figures."""

    out: Path
    artifacts: dict[str, Artifact]
    figures: dict[str, Figures]


def run_recipe(config: RecipeConfig) -> RecipeRun:
    """Run a recipe file.

    Raises:
        ConfigError: the recipe or a `--set` names something unknown.
        DilmacError: what a stage raises.
    """
    values = load_recipe(config.recipe)
    for change in config.set:
        apply_change(values, change)
    return run_stages(values, config.recipe, out=config.out, from_stage=config.from_stage)


def load_recipe(path: Path) -> dict[str, Any]:
    """The mapping in a recipe file, with its stages.

    Raises:
        InputError: no such file, no YAML, or no stages in it.
    """
    try:
        values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("no such recipe", where=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f"{path}:{place.line + 1}" if place else path
        raise InputError(f"no YAML ({getattr(error, 'problem', error)})", where=where) from error
    stages = values.get("stages") if isinstance(values, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(s, dict) for s in stages.values()):
        raise InputError(
            "has no stages", where=path, mend="write `stages:` with a mapping below each name"
        )
    for key in values:
        if key not in ("name", "out", "seed", "stages"):
            raise unknown_key(
                key, dict.fromkeys(("name", "out", "seed", "stages")), where=str(path)
            )
    return values


def apply_change(values: dict[str, Any], change: str) -> None:
    """Apply `stage.key=value` (value is YAML), or `out=…`, `seed=…`.

    Raises:
        ConfigError: no such stage, or no `=`.
    """
    name, sign, text = change.partition("=")
    stage, _, key = name.partition(".")
    if not sign:
        raise ConfigError(
            f"{change!r} has no '='", where="--set", mend="write --set stage.key=value"
        )
    if not key and stage in ("out", "seed"):
        values[stage] = yaml.safe_load(text)
        return
    if stage not in values["stages"]:
        raise unknown_key(stage, values["stages"], where="--set")
    values["stages"][stage][key] = yaml.safe_load(text)


def run_stages(
    values: dict[str, Any], path: Path, *, out: Path | None = None, from_stage: str | None = None
) -> RecipeRun:
    """Check all stages, then run them in order."""
    folder = out or Path(values.get("out") or path.stem)
    stages = check_stages(values, path, folder)
    names = [stage.name for stage in stages]
    if from_stage and from_stage not in names:
        raise unknown_key(from_stage, dict.fromkeys(names), where="--from")
    folder.mkdir(parents=True, exist_ok=True)
    first_forced = names.index(from_stage) if from_stage else len(names)
    artifacts, figures = {}, {}
    for number, stage in enumerate(stages):
        say(f"── {number + 1}/{len(stages)} {stage.name}: {stage.verb}")
        result = _run_stage(stage, folder, force=number >= first_forced)
        if isinstance(result, Artifact):
            artifacts[stage.name] = result
            figures[stage.name] = result.figures
        else:
            figures[stage.name] = result
    return RecipeRun(folder, artifacts, figures)


def check_stages(
    values: dict[str, Any], path: Path, folder: Path, *, require_models: bool = True
) -> list[Stage]:
    """Every stage's Config, validated, with references replaced by paths.

    A model that no stage makes must be there, unless `require_models` is false.

    Raises:
        ConfigError: an unknown verb, key, or reference; a value out of range.
    """
    stages: list[Stage] = []
    for name, section in values["stages"].items():
        settings = dict(section)
        verb = settings.pop("verb", None)
        where = f"{path}: {name}"
        if verb not in VERBS:
            near = difflib.get_close_matches(str(verb), VERBS, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"verbs: {', '.join(VERBS)}"
            raise ConfigError(f"unknown verb {verb!r}", where=where, mend=mend)
        room, config_name, function_name = VERBS[verb]
        module = importlib.import_module(room)
        config_class = getattr(module, config_name)
        made = {stage.name: folder / stage.name for stage in stages}
        used: list[Path] = []
        written = dict(settings)
        settings = {
            key: _resolve(value, made, [] if key in WRITTEN else used, where)
            for key, value in written.items()
        }
        if require_models and not written.get("server"):  # which has its own names of models
            used += _named_model(written.get("model"))
        if issubclass(config_class, StageConfig):
            settings = {"out": folder / name, "seed": values.get("seed", 42), **settings}
        config = config_class.from_mapping(settings, where=where)
        stages.append(
            Stage(name, verb, config, getattr(module, function_name), written, tuple(used))
        )
    return stages


def _named_model(model: Any) -> list[Path]:
    """The folder of a model that no earlier stage makes: one that ships, or one of the user's.

    Raises:
        InputError: nothing is there, and no model of that name ships.
    """
    if not isinstance(model, str) or model.startswith("@"):
        return []
    folder = model_folder(model)
    return [] if folder.is_file() else [folder]


def _resolve(value: Any, made: dict[str, Path], used: list[Path], where: str) -> Any:
    """A setting with every `@name` in it replaced by what it stands for."""
    if isinstance(value, list):
        resolved: list[Any] = []
        for item in value:
            one = _resolve(item, made, used, where)
            resolved.extend(one if isinstance(one, list) else [one])
        return resolved
    if not isinstance(value, str):
        return value
    if not value.startswith("@"):
        if os.path.exists(value):  # noqa: PTH110 (also of what is too long for a path)
            used.append(Path(value))
        return value
    name = value[1:]
    if name in SAMPLES:
        paths = [str(path) for path in SAMPLES[name]()]
        return paths if len(paths) > 1 else paths[0]
    if name not in made:
        raise unknown_key(name, {**made, **SAMPLES}, where=where)
    used.append(made[name])
    return str(made[name])


def _run_stage(stage: Stage, folder: Path, *, force: bool) -> Artifact | Figures:
    if not isinstance(stage.config, StageConfig):
        return _run_figures(stage, folder / f"{stage.name}.json", force=force)
    try:
        artifact: Artifact = stage.run(stage.config, force=force)
    except ArtifactError as error:
        if error.mend and "--force" in error.mend:
            error.mend = f"make it again with --from {stage.name}, or choose another --out"
        raise
    return artifact


def _run_figures(stage: Stage, path: Path, *, force: bool) -> Figures:
    """Run a stage that makes no artifact; its figures are kept as JSON beside the others."""
    request = {
        "verb": stage.verb,
        "settings": stage.settings,
        "inputs": [input_record(used).sha256 for used in stage.inputs],
    }
    if path.is_file() and not force:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if kept.get("request") == request:
            say(f"{path}: complete, nothing to do")
            figures: Figures = kept["figures"]
            return figures
    figures = stage.run(stage.config)
    write_json(path, {"request": request, "figures": figures})
    return figures
