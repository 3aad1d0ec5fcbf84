"""The same stages handed out by datatrove: on this machine, on Ray, or on a Slurm cluster.

A stage is the built-in one, part by part, over the same work folder, which must lie on a file
system that all machines share. `DilmacSteps` is for datatrove pipelines of one's own.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dilmac.core import ConfigError, DilmacError, MissingDependencyError, num_cpus
from dilmac.corpus.config import CorpusConfig, StepName
from dilmac.corpus.counts import Counts
from dilmac.corpus.document import Document
from dilmac.corpus.read import Source
from dilmac.corpus.run.clean import CleanTask, clean_part
from dilmac.corpus.run.divide import group_sources, read_parts
from dilmac.corpus.run.workfolder import WorkFolder
from dilmac.corpus.steps.registry import run_steps

try:
    from datatrove.pipeline.base import PipelineStep
except ImportError as error:
    raise MissingDependencyError(
        "needs datatrove", where="--engine datatrove", mend="pip install 'dilmac[cluster]'"
    ) from error

Task = TypeVar("Task")
Result = TypeVar("Result")

SLURM_TASKS = 64  # where --workers does not say how many
SLURM_TIME = "24:00:00"  # of a task, at most
START_METHOD = "forkserver"  # of the local executor's processes
POLL_SECONDS = 5.0
BATCH_DOCUMENTS = 1000


class CleanShare(PipelineStep):  # type: ignore[misc]
    """A task's share of the input: whole groups of sources, or every n-th part where they are few.

    In the latter case every task reads everything, which takes a fiftieth of the time of cleaning.
    """

    name = "dilmaç: clean"
    type = "Corpus"

    def __init__(self, sources: Sequence[Source], config: CorpusConfig, work: WorkFolder):
        super().__init__()
        self.groups, self.config, self.work = group_sources(sources), config, work

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Clean the share of this rank; nothing is handed on."""
        del data
        numbers = range(len(self.groups))
        has_enough = len(self.groups) >= world_size
        mine = numbers[rank::world_size] if has_enough else numbers
        for place, (name, part) in enumerate(read_parts(self.groups, mine, self.config)):
            is_mine = has_enough or place % world_size == rank
            if is_mine and not self.work.is_done("clean", name):
                clean_part(CleanTask(name, part, self.config, self.work))
                self.stat_update("documents", value=len(part))
        yield from ()


class RunShare(PipelineStep):  # type: ignore[misc]
    """A task's share of a stage's parts."""

    name = "dilmaç: stage"
    type = "Corpus"

    def __init__(self, stage: Callable[[Any], Any], tasks: Sequence[Any]):
        super().__init__()
        self.stage, self.tasks = stage, tasks

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Work on every n-th part; nothing is handed on."""
        del data
        for task in self.tasks[rank::world_size]:
            self.stage(task)
            self.stat_update("parts")
        yield from ()


class DilmacSteps(PipelineStep):  # type: ignore[misc]
    """Our steps in a datatrove pipeline of your own: `DilmacSteps(["repair", "language"])`.

    A document's text is replaced by the cleaned one; what is rejected is counted by its reason and
    leaves the pipeline.
    """

    name = "dilmaç: steps"
    type = "Filter"

    def __init__(self, steps: Sequence[StepName], **settings: Any):
        super().__init__()
        self.steps = tuple(steps)
        self.config = CorpusConfig(inputs=("-",), out="-", **settings)  # type: ignore[arg-type]

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Documents that come through the steps, in their order."""
        del rank, world_size
        batch: list[Any] = []
        for document in data:
            batch.append(document)
            if len(batch) == BATCH_DOCUMENTS:
                yield from self._filter(batch)
                batch = []
        yield from self._filter(batch)

    def _filter(self, batch: list[Any]) -> Iterator[Any]:
        # The place in the batch as id: datatrove's own need not be unique.
        documents = [
            Document(str(place), document.text, str(document.metadata.get("source", "")))
            for place, document in enumerate(batch)
        ]
        kept, rejects = run_steps(self.steps, documents, self.config, Counts())
        for reject in rejects:
            self.stat_update(f"rejected_{reject.reason}")
        for document in kept:
            original = batch[int(document.id)]
            original.text = document.text
            original.metadata["ascii_only"] = document.ascii_only
            self.stat_update("kept")
            yield original


class DatatroveEngine:
    """Hands out the work through one of datatrove's executors."""

    def __init__(self, config: CorpusConfig, work: WorkFolder):
        self.config, self.work = config, work
        self.num_tasks = config.workers or (
            SLURM_TASKS if config.executor == "slurm" else num_cpus()
        )

    def close(self) -> None:
        """Nothing stays between two stages."""

    def clean(self, sources: Sequence[Source]) -> Iterator[int]:
        """Read and clean all sources; yields how many records each part had."""
        self._execute("clean", CleanShare(sources, self.config, self.work), self.num_tasks)
        for part in self.work.parts():
            yield self.work.facts("clean", part)["records"]

    def run(self, stage: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results of a stage in the order of its tasks."""
        if tasks:
            name = stage.__name__.removesuffix("_part")
            self._execute(name, RunShare(stage, tasks), min(self.num_tasks, len(tasks)))
        yield from map(stage, tasks)  # done already: this only reads what came out

    def _execute(self, name: str, step: PipelineStep, num_tasks: int) -> None:
        logs = self.work.path / "datatrove" / name
        shutil.rmtree(logs, ignore_errors=True)
        executor = self._executor([step], num_tasks, str(logs))
        try:
            executor.run()
        except DilmacError:
            raise
        except Exception as error:  # whatever a task died of; its log has the whole of it
            raise self._failed(name, str(error), logs) from error
        if self.config.executor == "slurm":
            _wait_for_slurm(executor)
        left = executor.get_incomplete_ranks(skip_completed=True)
        if left:
            raise self._failed(name, f"{len(left)} of {num_tasks} tasks", logs)

    def _failed(self, stage: str, what: str, logs: Path) -> DilmacError:
        return DilmacError(
            f"stage {stage!r} failed ({what})",
            where=logs / "logs",
            mend="see the logs; repeat the command: it goes on with the parts that are left",
        )

    def _executor(self, pipeline: list[PipelineStep], num_tasks: int, logs: str) -> Any:
        common = {"pipeline": pipeline, "tasks": num_tasks, "logging_dir": logs}
        common["skip_completed"] = False  # what is done is known part by part
        if self.config.executor == "ray":
            from datatrove.executor.ray import RayPipelineExecutor

            return RayPipelineExecutor(**common, workers=num_tasks)
        if self.config.executor == "slurm":
            from datatrove.executor.slurm import SlurmPipelineExecutor

            return SlurmPipelineExecutor(
                **common, time=SLURM_TIME, partition=self.config.partition, requeue=False, qos=""
            )
        from datatrove.executor.local import LocalPipelineExecutor

        return LocalPipelineExecutor(**common, workers=num_tasks, start_method=START_METHOD)


def check_executor(config: CorpusConfig) -> None:
    """Say before the work begins what the executor lacks.

    Raises:
        ConfigError: no partition is named, or this machine has no Slurm.
    """
    if config.executor != "slurm":
        return
    if not config.partition:
        raise ConfigError(
            "is missing", where="--partition", mend="name the Slurm partition; `sinfo` lists them"
        )
    if not shutil.which("sbatch"):
        raise ConfigError(
            "there is no sbatch on this machine",
            where="--executor slurm",
            mend="run the command on a login node of the cluster",
        )


def _wait_for_slurm(executor: Any) -> None:
    """Wait until the job has left the queue: its tasks have then ended, well or not."""
    while executor.get_incomplete_ranks(skip_completed=True):
        jobs = subprocess.run(
            ["squeue", "--noheader", "--jobs", str(executor.job_id)],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        if not jobs.stdout.strip():
            time.sleep(POLL_SECONDS)  # the last marks may still be on their way over the network
            return
        time.sleep(POLL_SECONDS)
