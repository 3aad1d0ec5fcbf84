"""Which documents a model reads, and how often: corpora encoded once, sources weighted.

A weight below 1 keeps that share of a source's documents, one above 1 repeats them: 2.5 gives every
document twice and half of them a third time. Copies lie a whole pass over the corpora apart, so
that no window shows a model the text that it is to predict.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock, Timeout

from dilmac.core import (
    ArtifactError,
    ConfigError,
    InputError,
    Steps,
    disk_full_explained,
    input_record,
    open_artifact,
    read_documents,
    say,
    sha256_of,
)
from dilmac.models import OTHER_SOURCES
from dilmac.tokenizer import Tokenizer
from dilmac.training.token_file import (
    INDEX,
    EncodedDocument,
    TokenFile,
    open_tokens,
    write_tokens,
)

MAX_WEIGHT = 100.0  # a source read a hundred times an epoch is a mistake of the comma


def tokenize(
    corpora: Path | Sequence[Path],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    source_weights: Mapping[str, float] | None = None,
    seed: int = 42,
) -> TokenFile:
    """Encode the train split of one or more corpora into `folder`.

    What is there, whole, and made from the same is used again, so several runs on one corpus can
    share a folder; a second process that asks at the same time waits for the first. Nothing holds
    the corpus in memory.

    Args:
        corpora: corpus folders, read in this order.
        tokenizer: encodes each document; its end-of-text token ends it.
        folder: takes the shards (see `token_file`).
        source_weights: copies of a source's documents in an epoch, by the documents' `source`;
            1 for those not named.
        seed: chooses the documents where a weight is not whole.

    Raises:
        InputError: a corpus cannot be read or has no document left, or the tokens in `folder` are
            damaged.
        ConfigError: a weight that is no share, or of a source that is in no corpus.
        ArtifactError: the tokens in `folder` were made from something else.
    """
    folders = [corpora] if isinstance(corpora, Path) else list(corpora)
    weights = _checked(source_weights or {})
    made_from = {
        "tokenizer": sha256_of(tokenizer.folder / "tokenizer.json"),
        "corpora": [input_record(corpus).sha256 for corpus in folders],
        "source_weights": weights,
        "seed": seed if weights else None,
    }
    if (folder / INDEX).is_file():  # no lock: a shared folder may be there to read only
        return _made_from(open_tokens(folder), made_from)
    folder.mkdir(parents=True, exist_ok=True)
    with disk_full_explained(folder), _alone_in(folder):
        if (folder / INDEX).is_file():
            return _made_from(open_tokens(folder), made_from)
        if known := _recorded_sources(folders):
            _require_known(weights, known)
        tokens = write_tokens(
            folder,
            _encoded(_documents(folders, weights, seed), tokenizer),
            vocab_size=len(tokenizer),
            end_id=tokenizer.document_start_id,
            weights=weights,
            made_from=made_from,
        )
    return tokens


def _alone_in(folder: Path) -> FileLock:
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        say(f"waiting for another process that writes {folder}")
    else:
        lock.release()
    return lock


def _checked(weights: Mapping[str, float]) -> dict[str, float]:
    for name, weight in weights.items():
        if not (math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT):
            raise ConfigError(
                f"the weight of {name!r} is {weight}",
                where="--source-weights",
                mend=f"give 0 to {MAX_WEIGHT:g}",
            )
    return {name: float(weight) for name, weight in sorted(weights.items()) if weight != 1}


def _made_from(tokens: TokenFile, made_from: dict[str, Any]) -> TokenFile:
    there = tokens.index.made_from
    for name, value in made_from.items():
        if there.get(name) != value:
            raise ArtifactError(
                f"holds tokens made with another {name.replace('_', ' ')}",
                where=tokens.folder,
                mend="choose another folder for these tokens, or delete this one",
            )
    return tokens


def _documents(
    corpora: Sequence[Path], weights: Mapping[str, float], seed: int
) -> Iterator[dict[str, Any]]:
    """Documents in the order in which they are written, copies included."""
    known: set[str] = set()
    for copy in range(max(1, math.ceil(max(weights.values(), default=1.0)))):
        for corpus in corpora:
            for document in read_documents(corpus, "train"):
                known.add(document["source"])
                weight = weights.get(document["source"], 1.0)
                if copy + _place(document["text"], seed) < weight:
                    yield document
        _require_known(weights, known)


def _recorded_sources(corpora: Sequence[Path]) -> set[str]:
    """What the artifacts say of their sources, to tell a wrong name before hours of work.

    Empty where that is not all of them: a folder is no artifact, or its figures name the largest
    sources only, so that what they name does not add up to the documents kept.
    """
    known: set[str] = set()
    for corpus in corpora:
        if not (corpus / "artifact.json").is_file():
            return set()
        figures = open_artifact(corpus).figures
        named = {
            name: count
            for name, count in figures.get("kept_by_source", {}).items()
            if name != OTHER_SOURCES
        }
        if sum(named.values()) != figures.get("documents_kept"):
            return set()
        known |= named.keys()
    return known


def _require_known(weights: Mapping[str, float], known: set[str]) -> None:
    if unknown := sorted(weights.keys() - known):
        raise ConfigError(
            f"no corpus has a source {unknown[0]!r}",
            where="--source-weights",
            mend=f"sources there: {', '.join(sorted(known))}",
        )


def _place(text: str, seed: int) -> float:
    """A number in [0, 1) that belongs to a text."""
    return (xxhash.xxh3_64_intdigest(text.encode(), seed) >> 11) / float(1 << 53)


def _encoded(
    documents: Iterator[dict[str, Any]], tokenizer: Tokenizer
) -> Iterator[EncodedDocument]:
    waiting: deque[tuple[str, int]] = deque()  # source and bytes of what is being encoded
    num_tokens = 0

    def texts() -> Iterator[str]:
        for document in documents:
            waiting.append((document["source"], len(document["text"].encode())))
            yield document["text"]

    with Steps("tokenize", unit="documents") as steps:
        for ids in tokenizer.encode_arrays(texts()):
            source, num_bytes = waiting.popleft()
            num_tokens += len(ids) + 1
            yield EncodedDocument(ids, source, num_bytes)
            steps.advance(note=f"{num_tokens:,} tokens")
    if not num_tokens:
        raise InputError(
            "no document is left to train on",
            where="--corpus",
            mend="give more text or larger source weights",
        )
