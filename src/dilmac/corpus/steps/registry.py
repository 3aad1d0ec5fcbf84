"""The steps by their names. A step takes documents and returns for each "" (keep) or the reason.

A step may change a document's text, and counts what it does. A new step is one function here and
its name in `config.StepName`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dilmac.corpus.config import CorpusConfig, StepName
from dilmac.corpus.counts import Counts
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.steps.boilerplate import strip_boilerplate
from dilmac.corpus.steps.decontaminate import contaminated, evaluation_ngrams
from dilmac.corpus.steps.language import (
    foreign_paragraphs,
    identify_all,
    is_ascii_only,
    language_fault,
)
from dilmac.corpus.steps.personal import find_personal_data, mask_personal_data
from dilmac.corpus.steps.quality import faults, measure
from dilmac.corpus.steps.repair import repair
from dilmac.corpus.words import tables

Step = Callable[[list[Document], CorpusConfig, Counts], list[str]]


def repair_step(documents: list[Document], config: CorpusConfig, counts: Counts) -> list[str]:
    """Mend encodings, Unicode form, markup leftovers; `empty` where nothing is left."""
    del config
    reasons = []
    for document in documents:
        before = document.text
        document.text = repair(before)
        if document.text != before.strip():
            counts.repair(document.id, document.source, before.strip(), document.text)
        reasons.append("" if document.text else "empty")
    return reasons


def boilerplate_step(documents: list[Document], config: CorpusConfig, counts: Counts) -> list[str]:
    """Take out cookie, menu and sharing lines; `boilerplate` where nothing else is left."""
    del config
    reasons = []
    for document in documents:
        document.text, lines = strip_boilerplate(document.text)
        for line in lines:
            counts.remove(document.id, line, "boilerplate_line")
        reasons.append("" if document.text else "boilerplate")
    return reasons


def language_step(documents: list[Document], config: CorpusConfig, counts: Counts) -> list[str]:
    """Keep documents in the language, and take long foreign paragraphs out of them."""
    reasons = []
    found = identify_all([document.text for document in documents])
    for document, (language, score) in zip(documents, found, strict=True):
        reason = language_fault(language, score, config)
        counts.languages[language] += 1
        if not reason and config.language == "tr":
            document.ascii_only = is_ascii_only(document.text)
            counts.ascii_only += document.ascii_only
        if not reason and config.foreign_paragraphs == "drop":
            document.text, pieces = foreign_paragraphs(document.text, config)
            for piece in pieces:
                counts.remove(document.id, piece, "foreign_paragraph")
        reasons.append(reason)
    return reasons


def quality_step(documents: list[Document], config: CorpusConfig, counts: Counts) -> list[str]:
    """Quality rules, unless the documents were measured before deduplication."""
    del counts
    if all(document.fault is not None for document in documents):
        return [document.fault or "" for document in documents]
    return quality_faults([document.text for document in documents], config)


def quality_faults(texts: Sequence[str], config: CorpusConfig) -> list[str]:
    """Reason to reject each text by the quality rules, or ""."""
    is_turkish = config.language == "tr"
    return [
        reason
        for _, table in tables(texts)
        for reason in faults(measure(table), config, is_turkish=is_turkish)
    ]


def personal_step(documents: list[Document], config: CorpusConfig, counts: Counts) -> list[str]:
    """Mask personal data, or reject its document, or only count it."""
    reasons = []
    for document in documents:
        found = find_personal_data(document.text)
        counts.personal.update(place.kind for place in found)
        if found and config.personal_data == "mask":
            document.text = mask_personal_data(document.text, found)
        reasons.append("personal_data" if found and config.personal_data == "drop" else "")
    return reasons


def decontaminate_step(
    documents: list[Document], config: CorpusConfig, counts: Counts
) -> list[str]:
    """Reject documents that share a run of words with an evaluation set."""
    del counts
    if not config.decontaminate:
        return [""] * len(documents)
    ngrams = evaluation_ngrams(config.decontaminate)
    texts = [document.text for document in documents]
    return ["contaminated" if flag else "" for flag in contaminated(texts, ngrams)]


STEP_OF: dict[StepName, Step] = {
    "repair": repair_step,
    "boilerplate": boilerplate_step,
    "language": language_step,
    "quality": quality_step,
    "personal": personal_step,
    "decontaminate": decontaminate_step,
}


def run_steps(
    names: Sequence[StepName], documents: list[Document], config: CorpusConfig, counts: Counts
) -> tuple[list[Document], list[Reject]]:
    """Documents that come through the steps, and the others with their reasons."""
    rejects: list[Reject] = []
    for name in names:
        before = [document.text for document in documents]
        reasons = STEP_OF[name](documents, config, counts)
        for document, text, reason in zip(documents, before, reasons, strict=True):
            if reason:  # with its text as it was, where the step left none
                found = document.text or text
                rejects.append(Reject(document.id, found, document.source, reason))
        documents = [
            document for document, reason in zip(documents, reasons, strict=True) if not reason
        ]
    return documents, rejects
