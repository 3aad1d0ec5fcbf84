"""Last stage of a part: duplicates leave, the remaining steps run, and the rest is written."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilmac.core import place_of
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.counts import Counts
from dilmac.corpus.dedup.about import About
from dilmac.corpus.dedup.duplicates import KEPT, REASONS, open_verdicts
from dilmac.corpus.dedup.sketch import exact_hashes, read_clean
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.run.clean import write_rejects
from dilmac.corpus.run.templates import templates
from dilmac.corpus.run.workfolder import Spill, WorkFolder
from dilmac.corpus.steps.boilerplate import strip_repeated
from dilmac.corpus.steps.registry import run_steps
from dilmac.corpus.words import tables


@dataclass(frozen=True)
class FinishTask:
    """A part after deduplication; `first` is the number of its first document."""

    part: str
    first: int
    config: CorpusConfig
    work: WorkFolder


def finish_part(task: FinishTask) -> tuple[str, int]:
    """Write the final documents and rejects of a part; returns its name and size."""
    if task.work.is_done("final", task.part):
        return task.part, task.work.facts("clean", task.part)["documents"]
    config, work, counts = task.config, task.work, Counts()
    documents, repeated = read_clean(work, task.part), templates(work)
    num_documents = len(documents)
    for document in documents:
        document.text, lines = strip_repeated(document.text, document.source, repeated)
        for line in lines:
            counts.remove(document.id, line, "repeated_line")
    rejects: list[Reject] = []
    if documents and "deduplicate" in config.steps:
        documents, rejects = _drop_duplicates(documents, task)
    documents, rejected = run_steps(config.steps_after_duplicates(), documents, config, counts)
    write_rejects(work, "final", task.part, rejects + rejected, counts)
    lowest = _write(documents, task, counts)
    work.finish("final", task.part, counts, lowest=lowest)
    return task.part, num_documents


def _drop_duplicates(
    documents: list[Document], task: FinishTask
) -> tuple[list[Document], list[Reject]]:
    verdicts = open_verdicts(task.work)
    place = slice(task.first, task.first + len(documents))
    with np.load(task.work.file("sketch", task.part, "npz")) as arrays:
        faults, places = arrays["fault"], _positions(arrays["exact"][:, 0])
    kept, rejects = [], []
    with closing(About(task.work)) as about:
        for document, fault, position, verdict, kept_by in zip(
            documents, faults, places, verdicts.verdict[place], verdicts.kept_by[place], strict=True
        ):
            if verdict == KEPT:
                document.fault, document.position = str(fault), float(position)
                kept.append(document)
                continue
            details = {"kept": about[int(kept_by)]["id"]}
            reason = REASONS[verdict]
            rejects.append(Reject(document.id, document.text, document.source, reason, details))
    return kept, rejects


def _write(documents: list[Document], task: FinishTask, counts: Counts) -> tuple[float, int] | None:
    """Deal documents into train and held-out; position and place of the lowest in train."""
    train = Spill(task.work.file("final", task.part, "train.jsonl.zst"))
    heldout = Spill(task.work.file("final", task.part, "heldout.jsonl.zst"))
    lowest: tuple[float, int] | None = None
    places = positions_of_ids(documents) if task.config.holdout_by == "id" else positions(documents)
    for document, position in zip(documents, places, strict=True):
        is_heldout = position < task.config.holdout_percent
        num_bytes = len(document.text.encode())
        counts.keep(document.text, document.source, num_bytes, is_heldout=is_heldout)
        counts.count_license(document.source, document.license)
        if not is_heldout:
            lowest = min(lowest or (100.0, 0), (position, train.num_objects))
        (heldout if is_heldout else train).write(
            {
                "id": document.id,
                "text": document.text,
                "source": document.source,
                "ascii_only": document.ascii_only,
            }
        )
    train.close()
    heldout.close()
    return lowest


def positions_of_ids(documents: list[Document]) -> list[float]:
    """Where each document stands by the hash of its id, from the end: below 10 is the test part."""
    return [math.nextafter(100 - place_of(document.id), 0) for document in documents]


def positions(documents: list[Document]) -> list[float]:
    """Where each document stands in [0, 100), by the hash of its words, in every corpus alike."""
    if all(document.position is not None for document in documents):
        return [document.position or 0.0 for document in documents]
    texts = [document.text for document in documents]
    found = [_positions(exact_hashes(table)[:, 0]) for _, table in tables(texts)]
    return [float(position) for position in np.concatenate(found)]


def _positions(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    return hashes / 2.0**64 * 100
