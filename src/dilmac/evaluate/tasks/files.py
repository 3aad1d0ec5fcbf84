"""A task's YAML file: which records it reads, and the part that lm-eval reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from dilmac.core import Config, InputError, unknown_key

FOLDER = Path(__file__).resolve().parent
CHAT, BITS = "chat", "bits"  # tasks without a YAML file: they are no questions
ALL = "all"

Kind = Literal["choice", "pairs", "answer", "arithmetic"]
# How lm-eval asks each kind, and the metrics that an item of it has.
_CHOSEN = ("multiple_choice", ("acc", "acc_norm"))
_ASKED: dict[Kind, tuple[str, tuple[str, ...]]] = {
    "choice": _CHOSEN,
    "pairs": _CHOSEN,
    "answer": ("generate_until", ("exact_match", "f1")),
    "arithmetic": ("generate_until", ("exact_match",)),
}


class TaskFile(Config):
    """What a YAML file says of its task."""

    title: str = Field(description="what the task asks, in a line")
    kind: Kind = Field(description="form of the records, and how an answer is scored")
    files: tuple[str, ...] = Field(
        (), description="names in --task-data without suffixes, with * and ?; the first found count"
    )
    where: dict[str, Any] = Field(
        {}, description="fields by which a record of a shared file belongs to the task"
    )
    sample: str | None = Field(None, description="records that ship, where no --task-data is given")
    lm_eval: dict[str, Any] = Field(description="the task's configuration as lm-eval reads it")

    @property
    def name(self) -> str:
        return str(self.lm_eval["task"])

    @property
    def needs_scores(self) -> bool:
        """Whether log-probabilities of given text are needed."""
        return self.lm_eval.get("output_type") == "multiple_choice"

    @property
    def metrics(self) -> list[str]:
        return [entry["metric"] for entry in self.lm_eval["metric_list"]]


def task_names() -> list[str]:
    """Every task that ships."""
    return [*sorted(path.stem for path in FOLDER.glob("*.yaml")), CHAT, BITS]


def read_task(name: str) -> TaskFile:
    """A task that ships, or the one of a YAML file.

    Raises:
        ConfigError: there is no such task, or the file does not say what it must.
        InputError: the file cannot be read, is no YAML, or its part for lm-eval cannot be asked.
    """
    is_file = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_file else FOLDER / f"{name}.yaml"
    if not is_file and not path.is_file():
        raise unknown_key(name, dict.fromkeys([ALL, *task_names()]), where="--tasks")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"no YAML ({error})", where=path) from error
    if not isinstance(values, dict):
        raise InputError("no mapping", where=path, mend="see docs/evaluate.md for an example")
    task = TaskFile.from_mapping(values, where=str(path))
    missing = [key for key in ("task", "output_type", "metric_list") if key not in task.lm_eval]
    if missing:
        raise InputError(f"lm_eval has no {missing[0]!r}", where=path)
    _require_askable(task, path)
    return task


def _require_askable(task: TaskFile, path: Path) -> None:
    """Refuse what lm-eval would only stumble over, or could not be scored item by item."""
    output_type, metrics = _ASKED[task.kind]
    if task.lm_eval["output_type"] != output_type:
        raise InputError(
            f"lm_eval: output_type: {task.lm_eval['output_type']!r} does not ask a {task.kind}",
            where=path,
            mend=f"output_type: {output_type}",
        )
    entries = task.lm_eval["metric_list"]
    named = [entry.get("metric") for entry in entries if isinstance(entry, dict)]
    if not isinstance(entries, list) or not named or not set(named) <= set(metrics):
        raise InputError(
            f"lm_eval: metric_list: {entries!r} is not known of a {task.kind}",
            where=path,
            mend=f"a list of {{metric: …}} with {' or '.join(metrics)}",
        )
    shots = task.lm_eval.get("num_fewshot", 0)
    if isinstance(shots, bool) or not isinstance(shots, int) or shots < 0:
        raise InputError(f"lm_eval: num_fewshot: {shots!r} is no count", where=path)
