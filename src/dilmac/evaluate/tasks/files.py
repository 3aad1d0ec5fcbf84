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
        InputError: the file is missing or no YAML.
    """
    is_file = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_file else FOLDER / f"{name}.yaml"
    if not is_file and not path.is_file():
        raise unknown_key(name, dict.fromkeys([ALL, *task_names()]), where="--tasks")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"no YAML ({error})", where=path) from error
    if not isinstance(values, dict):
        raise InputError("no mapping", where=path, mend="see docs/evaluate.md for an example")
    task = TaskFile.from_mapping(values, where=str(path))
    missing = [key for key in ("task", "output_type", "metric_list") if key not in task.lm_eval]
    if missing:
        raise InputError(f"lm_eval has no {missing[0]!r}", where=path)
    return task
