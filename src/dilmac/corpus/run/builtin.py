"""The built-in way to hand out the work: this machine's processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from dilmac.core import num_cpus
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.read import Source
from dilmac.corpus.run.clean import CleanTask, clean_part
from dilmac.corpus.run.divide import group_sources, read_parts
from dilmac.corpus.run.workers import Workers
from dilmac.corpus.run.workfolder import WorkFolder

Task = TypeVar("Task")
Result = TypeVar("Result")


class BuiltinEngine:
    """Reads in this process, works in `--workers` others."""

    def __init__(self, config: CorpusConfig, work: WorkFolder):
        self.config, self.work = config, work
        self.workers = Workers(config.workers or num_cpus())

    def close(self) -> None:
        """Let the processes go."""
        self.workers.close()

    def clean(self, sources: Sequence[Source]) -> Iterator[int]:
        """Read and clean all sources; yields how many records each part had."""
        groups = group_sources(sources)
        tasks = (
            CleanTask(name, part, self.config, self.work)
            for name, part in read_parts(groups, range(len(groups)), self.config)
            if not self.work.is_done("clean", name)
        )
        yield from self.workers.map(clean_part, tasks)

    def run(self, stage: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results of a stage in the order of its tasks."""
        yield from self.workers.map(stage, tasks)
