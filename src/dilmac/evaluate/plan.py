"""Tasks asked of one model or two: what is asked, of whom, and the figures of it all."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dilmac.core import ConfigError, Figures, require_writable, say, written_whole
from dilmac.engines import EngineSpec, engine_for
from dilmac.evaluate.chat import read_prompts, run_chat
from dilmac.evaluate.config import EvaluateConfig
from dilmac.evaluate.outcome import Outcome, differences
from dilmac.evaluate.server import ServerSubject
from dilmac.evaluate.subject import EngineSubject, Need, Subject
from dilmac.evaluate.tasks.files import ALL, BITS, CHAT, read_task, task_names
from dilmac.evaluate.tasks.records import NoRecordsError, read_items
from dilmac.evaluate.texts import drawn, run_bits, texts_by_group
from dilmac.models import model_folder


@dataclass(frozen=True)
class Planned:
    """A task with its items, ready to be asked of a model."""

    run: Callable[[Subject], Outcome]
    title: str
    files: list[str]
    num_fewshot: int = 0
    num_rejected: int = 0
    need: Need = "text"


@dataclass
class Plan:
    """Tasks in the order in which they are asked, and why others are not."""

    tasks: dict[str, Planned]
    left_out: dict[str, str]
    is_lenient: bool  # `all` was asked for: what cannot be is left out, with its reason


def evaluate_tasks(config: EvaluateConfig) -> Figures:
    """Ask the tasks of the model, and of `--against` the same items.

    Raises:
        DilmacError: a task that was named cannot be asked; see `make_plan` and the engines.
    """
    started = time.monotonic()
    _require_startable(config)
    plan = make_plan(config)
    outcomes = _ask(plan, config, config.model, config.server)
    figures: Figures = {
        "model": str(config.model) if config.server else model_folder(config.model).name,
        "engine": config.server or _spec(config, config.model).kind,
        "seed": config.seed,
        "limit": config.limit,
        "tasks": {
            name: {
                "title": plan.tasks[name].title,
                "files": plan.tasks[name].files,
                "num_fewshot": plan.tasks[name].num_fewshot,
                "num_rejected": plan.tasks[name].num_rejected,
                **outcome.figures(config.seed),
            }
            for name, outcome in outcomes.items()
        },
    }
    if config.against:
        others = _ask(plan, config, config.against, None)
        figures["against"] = {
            "model": model_folder(config.against).name,
            "engine": _spec(config, config.against).kind,
            "tasks": {
                name: differences(outcome, others[name], config.seed)
                for name, outcome in outcomes.items()
                if name in others
            },
        }
    if plan.left_out:
        figures["left_out"] = plan.left_out
    if config.items:
        _write_items(config.items, outcomes)
    figures["seconds"] = round(time.monotonic() - started, 1)
    return figures


def make_plan(config: EvaluateConfig) -> Plan:
    """Read the records of every task that is asked for.

    Raises:
        ConfigError: there is no such task.
        InputError: its records are missing or not what they should be.
        MissingDependencyError: lm-eval is not installed.
    """
    asked = [name.strip() for part in config.tasks for name in part.split(",") if name.strip()]
    names = task_names() if ALL in asked else list(dict.fromkeys(asked))
    plan = Plan({}, {}, is_lenient=ALL in asked)
    for name in names:
        try:
            planned = _planned(name, config)
        except (NoRecordsError, _NoTextError) as error:
            if not plan.is_lenient:
                raise
            plan.left_out[name] = error.found
            continue
        plan.tasks[name] = planned
    if not plan.tasks:
        raise ConfigError(
            "no task to ask", where="--tasks", mend=f"one of {', '.join(task_names())}"
        )
    return plan


class _NoTextError(ConfigError):
    """Bits are asked for, and no text is given."""


def _planned(name: str, config: EvaluateConfig) -> Planned:
    if name == CHAT:
        prompts, files = read_prompts(config.task_data)
        if config.limit and config.limit < len(prompts):
            prompts = random.Random(config.seed).sample(prompts, config.limit)
        title = "answers to chat prompts that end, and that go in circles"
        return Planned(
            lambda subject: run_chat(prompts, subject, config.seed), title, files, need="chat"
        )
    if name == BITS:
        if not (config.text or config.corpus):
            raise _NoTextError(
                "no text to measure", where="--text", mend="give --text or --corpus for bits"
            )
        groups = drawn(texts_by_group(config), config.limit, config.seed)
        title = "bits per byte by domain"
        return Planned(lambda subject: run_bits(groups, subject), title, [], need="ids")
    from dilmac.evaluate.harness import run_task  # lm-eval takes seconds to import

    task = read_task(name)
    num_fewshot = task.lm_eval.get("num_fewshot", config.num_fewshot)
    items = read_items(
        task, config.task_data, seed=config.seed, limit=config.limit, num_fewshot=num_fewshot
    )
    return Planned(
        lambda subject: run_task(task, items, subject),
        task.title,
        items.files,
        num_fewshot,
        items.num_rejected,
        "scores" if task.needs_scores else "text",
    )


def open_subject(config: EvaluateConfig, model: Path, server: str | None) -> Subject:
    """Start the engine of a model, or reach its server.

    Raises:
        InputError: there is no such model.
        EngineError: it cannot be started or reached.
    """
    if server:
        return ServerSubject(server, str(model))
    name = model_folder(model).name
    return EngineSubject(name, _spec(config, model), begin_documents=config.document_start)


def _spec(config: EvaluateConfig, model: Path) -> EngineSpec:
    """The engine that runs a model: what `--engine` says, where the model is there in its form.

    Raises:
        InputError: there is no such model.
        ConfigError: the engine cannot run it.
    """
    folder = model_folder(model)
    spec = engine_for(folder).model_copy(update={"context": config.context})
    if config.engine in ("auto", spec.kind):
        return spec
    if config.engine == "llamacpp" or not (folder / "config.json").is_file():
        form = "GGUF" if config.engine == "llamacpp" else "model folder"
        raise ConfigError(
            f"{config.engine} runs no {spec.model.name}: it is no {form}",
            where="--engine",
            mend="leave it at auto, or make a GGUF with `dilmac export gguf`",
        )
    return spec.model_copy(update={"kind": config.engine, "model": folder})


def _require_startable(config: EvaluateConfig) -> None:
    """Say before hours of work what would end them: a model that no engine runs, a file that cannot
    be written."""
    for model in (None if config.server else config.model, config.against):
        if model:
            _spec(config, model)
    for flag, path in (("--html", config.html), ("--items", config.items)):
        if path:
            require_writable(path, flag)


def _ask(plan: Plan, config: EvaluateConfig, model: Path, server: str | None) -> dict[str, Outcome]:
    """Outcomes by task. What a model cannot do is left out where all tasks were asked for."""
    outcomes = {}
    with closing(open_subject(config, model, server)) as subject:
        for name, planned in plan.tasks.items():
            say(f"evaluate: {name}, {planned.title}; {subject.name} ({subject.kind})")
            reason = subject.lacks(planned.need)
            if reason is None:
                outcomes[name] = planned.run(subject)
            elif plan.is_lenient:
                say(f"evaluate: {name} is left out: {reason}")
                plan.left_out[name] = f"{subject.name}: {reason}"
            else:
                raise ConfigError(
                    f"{name} cannot be asked of {subject.name}: {reason}", where="--tasks"
                )
    return outcomes


def _write_items(path: Path, outcomes: dict[str, Outcome]) -> None:
    """Every item with what was said and how it was scored, a JSON object a line."""
    with written_whole(path, "w") as file:
        for name, outcome in outcomes.items():
            for item in outcome.items:
                file.write(json.dumps({"task": name, **item}, ensure_ascii=False) + "\n")
