"""Raw text → corpus, in three passes over parts of some megabytes, each resumable by part.

    clean    repair, boilerplate, language: one document at a time        (clean.py)
    sketch   what deduplication compares, and quality                     (sketch.py)
             → who stays                                                  (dedup.py)
    finish   quality, personal data, decontamination: what stays          (finish.py)
             → shards, rejects, clusters, report                          (output.py, report.py)

Memory: see `docs/corpus-build.md`; it does not grow with the input. Beside the corpus lie, while it
is made, the cleaned text, packed, and about 300 bytes a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from dilmac.core import (
    Artifact,
    Build,
    Events,
    Figures,
    InputError,
    InputRecord,
    Steps,
    UnreadableInputError,
    building,
    expand_inputs,
    remove_whole,
)
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.counts import Counts
from dilmac.corpus.dedup.about import join_about
from dilmac.corpus.dedup.clusters import write_clusters
from dilmac.corpus.dedup.duplicates import find_duplicates, number_documents
from dilmac.corpus.dedup.sketch import SketchTask, sketch_part
from dilmac.corpus.read import Source, find_sources
from dilmac.corpus.report import write_report
from dilmac.corpus.run.builtin import BuiltinEngine
from dilmac.corpus.run.finish import FinishTask, finish_part
from dilmac.corpus.run.output import Output, summary
from dilmac.corpus.run.templates import find_templates, templates
from dilmac.corpus.run.workfolder import WorkFolder
from dilmac.corpus.steps.decontaminate import evaluation_ngrams
from dilmac.corpus.steps.language import check_language_code


class Engine(Protocol):
    """Who hands out the work."""

    def clean(self, sources: Sequence[Source]) -> Iterator[int]:
        """Read and clean all sources; yields how many records each part had."""
        ...

    def run(self, stage: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        """Results of a stage in the order of its tasks."""
        ...

    def close(self) -> None:
        """Let go what is held between two stages."""
        ...


def build_corpus(config: CorpusConfig, *, force: bool = False) -> Artifact:
    """Make a clean corpus: shards of `train` and `heldout`, rejects, clusters, `report.html`.

    Raises:
        InputError: an input is missing or damaged, or no document was kept.
        ConfigError: a setting that cannot be.
        ArtifactError: `config.out` holds something else.
    """
    check_language_code(config.language)
    if config.engine == "datatrove":
        from dilmac.corpus.run.datatrove import check_executor

        check_executor(config)
    sources = find_sources(config)
    inputs: dict[str, list[Path | InputRecord]] = {
        "inputs": [source.identity() for source in sources]
    }
    if config.decontaminate:
        inputs["decontaminate"] = [*expand_inputs(config.decontaminate)]
    with building("corpus", config, inputs, force=force, resumable=True) as build:
        if build.done:
            remove_whole(_aside(build))  # where a run was killed after its last step but one
            return build.done
        try:
            return _Run(config, sources, build).carry_out()
        except UnreadableInputError:
            raise  # what is done so far waits for the disk or the network
        except InputError:
            # Mended inputs are other inputs: what was made of these is of no more use.
            remove_whole(build.path)
            raise


class _Run:
    """One run over its work folder."""

    def __init__(self, config: CorpusConfig, sources: list[Source], build: Build):
        self.config, self.sources, self.build = config, sources, build
        self.work = WorkFolder(build.path / "work")
        self.aside = _aside(build)
        if build.resumed and self.aside.is_dir() and not self.work.path.exists():
            self.aside.rename(self.work.path)
        remove_whole(self.aside)
        self.work.prepare()
        self.events = Events(build.path / "events.jsonl")
        self.engine = _engine(config, self.work)
        for known in (templates, evaluation_ngrams):  # of an earlier run in this process
            known.cache_clear()

    def carry_out(self) -> Artifact:
        if self.config.decontaminate:
            evaluation_ngrams(self.config.decontaminate)  # what is wrong there is said at once
        with closing(self.engine):
            self._clean()
            if "boilerplate" in self.config.steps:
                find_templates(self.work)
            clusters = self._deduplicate()
            counts = self._finish()
        figures = counts.figures()
        if not counts.kept:
            raise _nothing_kept(self.sources, figures)
        write_report(self.build.path / "report.html", counts, clusters)
        # Beside the corpus until that is whole: hashing it takes long, and may be interrupted.
        self.work.path.rename(self.aside)
        artifact = self.build.finish(figures)
        remove_whole(self.aside)
        return artifact

    def _clean(self) -> None:
        """Nothing where an interrupted run had cleaned all parts."""
        whole = self.work.path / "clean" / "whole"
        if whole.is_file():
            return
        with Steps("clean", unit="documents") as steps:
            for num_records in self.engine.clean(self.sources):
                self.events.write("clean", documents=num_records)
                steps.advance(num_records)
        whole.touch()

    def _deduplicate(self) -> list[dict[str, Any]]:
        """Verdicts into the work folder, clusters into the corpus; returns some to look at."""
        total = number_documents(self.work)[""]
        if "deduplicate" not in self.config.steps or not total:
            return []
        tasks = [SketchTask(part, self.config, self.work) for part in self.work.parts()]
        with Steps("compare", total=total, unit="documents") as steps:
            for num_documents in self.engine.run(sketch_part, tasks):
                self.events.write("sketch", documents=num_documents)
                steps.advance(num_documents)
        join_about(self.work)
        verdicts = find_duplicates(self.work, self.config)
        return write_clusters(self.work, verdicts, self.build.path / "clusters.jsonl.zst")

    def _finish(self) -> Counts:
        first_of = number_documents(self.work)
        total = first_of.pop("")
        tasks = [
            FinishTask(part, first, self.config, self.work) for part, first in first_of.items()
        ]
        output = Output(self.build.path, self.config)
        with Steps("finish", total=total, unit="documents") as steps:
            for part, num_documents in self.engine.run(finish_part, tasks):
                output.add(self.work, part)
                self.events.write("finish", documents=num_documents)
                steps.advance(num_documents)
        counts = self.work.counts()
        output.close(counts)
        return counts


def _aside(build: Build) -> Path:
    """Where the work folder waits while the corpus is hashed."""
    return build.out.with_name(f".{build.out.name}.work")


def _engine(config: CorpusConfig, work: WorkFolder) -> Engine:
    if config.engine == "datatrove":
        from dilmac.corpus.run.datatrove import DatatroveEngine

        return DatatroveEngine(config, work)
    return BuiltinEngine(config, work)


def _nothing_kept(sources: list[Source], figures: Figures) -> InputError:
    where = sources[0].place
    if len(sources) > 1:
        where += f" and {len(sources) - 1} more"
    if not figures["documents_read"]:
        return InputError("holds no text", where=where, mend="give a file with text in it")
    languages = summary(figures["languages_seen"])
    return InputError(
        f"none of {figures['documents_read']} documents was kept "
        f"({summary(figures['rejected'])}{languages and f'; languages: {languages}'})",
        where=where,
        mend="give Turkish text, or loosen the rule (`dilmac corpus build --help`)"
        if languages
        else "mend the records, or name their fields (`dilmac corpus build --help`)",
    )
