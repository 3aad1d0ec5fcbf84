"""Texts to measure, by domain: the test part of held-out splits, and files that no training saw."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from dilmac.core import part_of, read_documents, read_records

Domains = dict[str, list[str]]
FIELDS = ("text", "tr", "context")  # the first that a record has
MIN_LINE_CHARS = 60  # shorter lines are met twice by chance
SEED = 42


def heldout_domains(corpora: Sequence[Path], max_bytes: int, *, any_heldout: bool) -> Domains:
    """Held-out documents by source, at most `max_bytes` of each, drawn with a fixed seed.

    Only those whose id is in the ids' test part, unless `any_heldout`.
    """
    found: dict[str, list[str]] = {}
    for corpus in corpora:
        for document in read_documents(corpus, "heldout"):
            if document["text"] and (any_heldout or part_of(document["id"]) == "test"):
                found.setdefault(document["source"], []).append(document["text"])
    return {name: drawn(found[name], max_bytes) for name in sorted(found)}


def unseen_domains(named: Sequence[str], max_bytes: int) -> Domains:
    """Files given as NAME=PATH or NAME=PATH:FIELD or NAME=PATH:FIELD:ID-PREFIX.

    Raises:
        SystemExit: a file gives no text.
    """
    domains: Domains = {}
    for entry in named:
        name, _, rest = entry.partition("=")
        path, _, choice = rest.partition(":")
        field, _, prefix = choice.partition(":")
        texts = list(dict.fromkeys(_texts(path, field, prefix)))  # contexts are often repeated
        if not texts:
            raise SystemExit(f"--unseen {entry}: no text (write NAME=PATH:FIELD:ID-PREFIX)")
        domains[f"{name} (unseen)"] = drawn(texts, max_bytes)
    return domains


def _texts(path: str, field: str, prefix: str) -> Iterator[str]:
    for record in read_records([path]):
        if prefix and not str(record.get("id", "")).startswith(prefix):
            continue
        names = (field,) if field else FIELDS
        value = next((record[name] for name in names if record.get(name)), None)
        if isinstance(value, str):
            yield value


def drawn(texts: list[str], max_bytes: int) -> list[str]:
    """Some of the texts, at most `max_bytes` together; the last one is cut at a character."""
    order = list(range(len(texts)))
    random.Random(SEED).shuffle(order)
    chosen: list[str] = []
    for place in order:
        data = texts[place].encode()[:max_bytes]
        max_bytes -= len(data)
        if text := data.decode("utf-8", "ignore"):
            chosen.append(text)
        if max_bytes <= 0:
            break
    return chosen


def shuffled_training_text(corpora: Sequence[Path]) -> list[str]:
    """All documents of the train splits, once each, in an order of its own (all in memory)."""
    texts = [d["text"] for corpus in corpora for d in read_documents(corpus, "train")]
    random.Random(SEED).shuffle(texts)
    return texts


def seen_shares(domains: Domains, train: Sequence[str]) -> dict[str, float | None]:
    """Share of each domain's long lines that stand, letter by letter, in the training text.

    None where a domain has no line that is long enough.
    """
    lines = {name: set(_long_lines(texts)) for name, texts in domains.items()}
    wanted = set().union(*lines.values())
    met = {line for line in _long_lines(train) if line in wanted}
    return {name: len(mine & met) / len(mine) if mine else None for name, mine in lines.items()}


def _long_lines(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        for line in text.split("\n"):
            if len(line) >= MIN_LINE_CHARS:
                yield line.strip()
