"""First stage of a part: the steps that look at one document at a time, before deduplication."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dilmac.core import written_whole
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.counts import Counts
from dilmac.corpus.dedup.about import write_about
from dilmac.corpus.document import MAX_DOCUMENT_CHARS, Document, Reject
from dilmac.corpus.read.web import open_page
from dilmac.corpus.run.workfolder import Spill, WorkFolder
from dilmac.corpus.steps.boilerplate import edge_line_hashes
from dilmac.corpus.steps.registry import run_steps

# A reject must be a line that can be read again (64 MiB), even where each character is escaped.
MAX_REJECT_CHARS = 10 << 20


@dataclass
class CleanTask:
    """A part's documents as they were read."""

    part: str
    records: list[Document | Reject]
    config: CorpusConfig
    work: WorkFolder


def clean_part(task: CleanTask) -> int:
    """Clean a part and write its files; returns how many records it had."""
    config, work, counts = task.config, task.work, Counts()
    documents, rejects = list[Document](), list[Reject]()
    for record in task.records:
        counts.read[record.source] += 1
        opened = _opened(record)
        if isinstance(opened, Document):
            documents.append(opened)
        else:
            rejects.append(opened)
    documents, rejected = run_steps(config.steps_before_duplicates(), documents, config, counts)
    write_rejects(work, "clean", task.part, rejects + rejected, counts)
    spill = Spill(work.file("clean", task.part, "docs.jsonl.zst"))
    for document in documents:
        spill.write(
            {
                "id": document.id,
                "text": document.text,
                "source": document.source,
                "ascii": document.ascii_only,
                "license": document.license,
            }
        )
    spill.close()
    write_about(work, task.part, documents)
    if "boilerplate" in config.steps:
        with written_whole(work.file("clean", task.part, "lines.npy")) as file:
            np.save(file, edge_line_hashes(documents))
    work.finish(
        "clean",
        task.part,
        counts,
        records=len(task.records),
        documents=len(documents),
        sources=_count_sources(documents),
    )
    return len(task.records)


def _opened(record: Document | Reject) -> Document | Reject:
    if isinstance(record, Reject):
        return record
    if len(record.text) > MAX_DOCUMENT_CHARS:
        return Reject(record.id, record.text, record.source, "too_long")
    return open_page(record)


def write_rejects(
    work: WorkFolder, stage: str, part: str, rejects: list[Reject], counts: Counts
) -> None:
    """Write and count the rejects of a part."""
    spill = Spill(work.file(stage, part, "rejects.jsonl.zst"))
    for reject in rejects:
        counts.reject(reject.id, reject.text, reject.source, reject.reason)
        if len(reject.text) > MAX_REJECT_CHARS:
            reject.details["cut_from_characters"] = len(reject.text)
            reject.text = reject.text[:MAX_REJECT_CHARS]
        spill.write(
            {
                "id": reject.id,
                "text": reject.text,
                "source": reject.source,
                "reason": reject.reason,
                **reject.details,
            }
        )
    spill.close()


def _count_sources(documents: list[Document]) -> dict[str, int]:
    sources: dict[str, int] = {}
    for document in documents:
        sources[document.source] = sources.get(document.source, 0) + 1
    return sources
