"""Raw text → corpus: read, repair, language, quality, deduplicate; shards, rejects, a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dilmac.core import (
    Artifact,
    Figures,
    InputError,
    JsonlWriter,
    ShardWriter,
    Steps,
    building,
)
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.dedup import SeenBefore, fingerprint
from dilmac.corpus.language import check_language_code, identify
from dilmac.corpus.quality import quality_fault
from dilmac.corpus.read import Document, Reject, read_file
from dilmac.corpus.repair import repair
from dilmac.corpus.report import write_report


@dataclass
class Counts:
    """What happened to the documents of a corpus."""

    read: int = 0
    repaired: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)  # by source
    kept_bytes: int = 0
    heldout_bytes: int = 0

    def figures(self) -> Figures:
        return {
            "documents_read": self.read,
            "documents_kept": self.kept.total(),
            "documents_repaired": self.repaired,
            "text_bytes_kept": self.kept_bytes,
            "text_bytes_heldout": self.heldout_bytes,
            "rejected": dict(sorted(self.rejected.items())),
            "kept_by_source": dict(sorted(self.kept.items())),
            "languages_seen": dict(self.languages.most_common(12)),
        }


def build_corpus(config: CorpusConfig, *, force: bool = False) -> Artifact:
    """Make a clean corpus: shards of `train` and `heldout`, `rejects.jsonl.zst`, `report.html`.

    Raises:
        InputError: an input is missing or damaged, or no document was kept.
        ArtifactError: `config.out` holds something else.
    """
    check_language_code(config.language)
    files = config.files()
    with building("corpus", config, {"inputs": files}, force=force) as build:
        if build.done:
            return build.done
        writer = CorpusWriter(build.path, config)
        counts = Counts()
        with Steps("corpus", unit="documents") as steps:
            for record in _records(files, config):
                counts.read += 1
                outcome = _clean(record, config, counts)
                if isinstance(outcome, Document):
                    writer.keep(outcome, counts)
                else:
                    writer.reject(outcome, counts)
                steps.advance(note=f"kept {counts.kept.total():,}")
        writer.close(counts)
        figures = counts.figures()
        if not counts.kept:
            raise _nothing_kept(files, figures)
        write_report(build.path / "report.html", figures, writer.examples)
        return build.finish(figures)


def _records(files: list[Path], config: CorpusConfig) -> Iterator[Document | Reject]:
    for path in files:
        yield from read_file(path, config)


def _clean(record: Document | Reject, config: CorpusConfig, counts: Counts) -> Document | Reject:
    if isinstance(record, Reject):
        return record
    text = repair(record.text) if config.repair else record.text
    counts.repaired += text != record.text.strip()
    if not text:
        return Reject(record.id, record.text, record.source, "empty")
    language, score = identify(text)
    counts.languages[language] += 1
    if language != config.language:
        return Reject(record.id, text, record.source, "other_language")
    if score < config.min_language_score:
        return Reject(record.id, text, record.source, "unsure_language")
    if fault := quality_fault(text, config):
        return Reject(record.id, text, record.source, fault)
    return Document(record.id, text, record.source)


class CorpusWriter:
    """Divides kept documents into train and held-out, drops repeated ones, keeps the rejects.

    A document is held out by the hash of its text, so the same text is on the same side in every
    corpus. A corpus too small for that lends its document of lowest hash, so that there is
    always something to measure on.
    """

    EXAMPLES_PER_REASON = 3

    def __init__(self, folder: Path, config: CorpusConfig):
        self.config = config
        self.train = ShardWriter(folder, "train", config.shard_bytes)
        self.heldout = ShardWriter(folder, "heldout", config.shard_bytes)
        self.rejects = JsonlWriter(folder / "rejects.jsonl.zst")
        self.examples: dict[str, list[str]] = {}
        self._seen = SeenBefore()
        self._lowest: tuple[float, dict[str, Any]] | None = None

    def keep(self, document: Document, counts: Counts) -> None:
        digest = fingerprint(document.text)
        if self.config.deduplicate and self._seen(digest):
            repeated = Reject(document.id, document.text, document.source, "duplicate")
            self.reject(repeated, counts)
            return
        size = len(document.text.encode())
        counts.kept[document.source] += 1
        counts.kept_bytes += size
        line = {"id": document.id, "text": document.text, "source": document.source}
        position = int.from_bytes(digest[:8], "big") / 2**64 * 100  # [0, 100)
        if position < self.config.holdout_percent:
            counts.heldout_bytes += size
            self.heldout.write(line)
        elif self.heldout.num_documents or not self.config.holdout_percent:
            self.train.write(line)
        else:
            self._lend((position, line))

    def _lend(self, candidate: tuple[float, dict[str, Any]]) -> None:
        if self._lowest is None:
            self._lowest = candidate
        else:
            self._lowest, other = sorted((self._lowest, candidate), key=lambda pair: pair[0])
            self.train.write(other[1])

    def reject(self, reject: Reject, counts: Counts) -> None:
        counts.rejected[reject.reason] += 1
        self.rejects.write(vars(reject))
        shown = self.examples.setdefault(reject.reason, [])
        if len(shown) < self.EXAMPLES_PER_REASON:
            printable = reject.text.encode("utf-8", "backslashreplace").decode()
            shown.append(f"{reject.id}: {' '.join(printable.split())[:160]}")

    def close(self, counts: Counts) -> None:
        if self._lowest is not None:
            is_needed = not self.heldout.num_documents and self.train.num_documents
            (self.heldout if is_needed else self.train).write(self._lowest[1])
            if is_needed:
                counts.heldout_bytes += len(self._lowest[1]["text"].encode())
        for writer in (self.train, self.heldout, self.rejects):
            writer.close()


def _nothing_kept(files: list[Path], figures: Figures) -> InputError:
    where = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    if not figures["documents_read"]:
        return InputError("holds no text", where=where, mend="give a file with text in it")
    reasons = ", ".join(f"{name} {count}" for name, count in figures["rejected"].items())
    languages = ", ".join(f"{name} {count}" for name, count in figures["languages_seen"].items())
    return InputError(
        f"none of {figures['documents_read']} documents was kept "
        f"({reasons}; languages: {languages})",
        where=where,
        mend="give Turkish text, or loosen the rule (`dilmac corpus build --help`)",
    )
