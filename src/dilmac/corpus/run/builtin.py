"""The built-in way to hand out the work: this machine's processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from dilmac.core import num_cpus
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read import Source, read_source
from dilmac.corpus.run.clean import CleanTask, clean_part, divide
from dilmac.corpus.run.workers import map_parts
from dilmac.corpus.run.workfolder import WorkFolder

Task = TypeVar("Task")
Result = TypeVar("Result")


class BuiltinEngine:
    """Reads in this process, works in `--workers` others."""

    def __init__(self, config: CorpusConfig, work: WorkFolder):
        self.config, self.work = config, work
        self.num_workers = config.workers or num_cpus()

    def clean(self, sources: Sequence[Source]) -> Iterator[int]:
        """Read and clean all sources; yields how many records each part had."""
        records = (record for source in sources for record in read_source(source, self.config))
        yield from map_parts(clean_part, self._clean_tasks(records), self.num_workers)

    def _clean_tasks(self, records: Iterable[Document | Reject]) -> Iterator[CleanTask]:
        for number, part in enumerate(divide(records)):
            name = f"{number:08d}"
            if not self.work.is_done("clean", name):
                yield CleanTask(name, part, self.config, self.work)

    def run(self, stage: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results of a stage in the order of its tasks."""
        yield from map_parts(stage, tasks, self.num_workers)
