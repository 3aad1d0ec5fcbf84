"""Second stage of a part: what deduplication compares, and the quality that decides who stays.

Exact: xxh3 over the words of a text, so case, spacing and punctuation do not count. Nearly equal:
MinHash (Broder 1997) over runs of 5 words. Texts that agree in one of 20 bands of 6 hashes are
compared by 128 hashes of one byte (b-bit MinHash, Li and König 2010). FineWeb-2's 14 bands of 8
find 86 % of planted pairs (3 % of the words changed), these 97 % (`benchmarks/corpus_quality.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import rensa
import xxhash
from numpy.typing import NDArray

from dilmac.core import written_whole
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.counts import Counts
from dilmac.corpus.document import Document
from dilmac.corpus.run.templates import templates
from dilmac.corpus.run.workfolder import WorkFolder, read_spill
from dilmac.corpus.steps.boilerplate import strip_repeated
from dilmac.corpus.steps.decontaminate import contaminated, evaluation_ngrams
from dilmac.corpus.steps.personal import find_personal_data
from dilmac.corpus.steps.quality import faults, measure
from dilmac.corpus.words import UPPER, Hashes, WordTable, mix, ngram_hashes, tables

SHINGLE_WORDS = 5
MAX_CAPITAL_SHARE = 0.1  # of a prose text's characters
SKETCH_BYTES = 128  # error of an estimated similarity: 0.04
MINHASH_SEED = 42  # the same in every corpus, so that sketches of two corpora can be compared


@dataclass(frozen=True)
class SketchTask:
    """A cleaned part."""

    part: str
    config: CorpusConfig
    work: WorkFolder


def sketch_part(task: SketchTask) -> int:
    """Write `sketch/NAME.npz` of a part; returns its number of documents.

    Arrays: `exact` [documents, 2], `bandN` [documents] of each band, `sketch` [documents, 128],
    `rank` (greater is better) and `tie`
    (where ranks are equal, the smaller stays) [documents], `fault` [documents] of str.
    """
    if task.work.is_done("sketch", task.part):
        return int(task.work.facts("sketch", task.part)["documents"])
    repeated = templates(task.work)
    texts, ascii_only = list[str](), list[bool]()
    for document in read_clean(task.work, task.part):
        texts.append(strip_repeated(document.text, document.source, repeated)[0])
        ascii_only.append(document.ascii_only)
    arrays = sketches(texts, np.array(ascii_only, dtype=np.bool_), task.config)
    with written_whole(task.work.file("sketch", task.part, "npz")) as file:
        np.savez(file, allow_pickle=False, **arrays)
    task.work.finish("sketch", task.part, Counts(), documents=len(texts))
    return len(texts)


def read_clean(work: WorkFolder, part: str) -> list[Document]:
    """Documents of a part after the first stage."""
    return [
        Document(
            value["id"], value["text"], value["source"], value["ascii"], license=value["license"]
        )
        for value in read_spill(work.file("clean", part, "docs.jsonl.zst"))
    ]


def sketches(
    texts: list[str], ascii_only: NDArray[np.bool_], config: CorpusConfig
) -> dict[str, NDArray[Any]]:
    """All arrays of a part, see `sketch_part`."""
    exact, minhashes = list[NDArray[np.uint64]](), list[NDArray[np.uint32]]()
    lengths, capitals = list[NDArray[np.int64]](), list[NDArray[np.float64]]()
    reasons: list[str] = []
    for _, table in tables(texts or [""]):
        exact.append(exact_hashes(table))
        minhashes.append(min_hashes(table, config.bands * config.hashes_per_band))
        lengths.append(np.diff(table.bounds))
        capitals.append(_capital_shares(table))
        reasons += faults(measure(table), config, is_turkish=config.language == "tr")
    count = len(texts)
    hashes = np.concatenate(minhashes)[:count]
    fault = np.array(reasons[:count], dtype=np.str_)
    return {
        **{
            f"band{number}": band
            for number, band in enumerate(band_hashes(hashes, config.bands, config.hashes_per_band))
        },
        "exact": np.concatenate(exact)[:count],
        "sketch": hashes[:, :SKETCH_BYTES].astype(np.uint8),
        "rank": ranks(
            texts,
            (fault == "") & ~will_go(texts, config),
            ascii_only,
            np.concatenate(lengths)[:count],
            np.concatenate(capitals)[:count],
        ),
        "tie": np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], np.uint64),
        "fault": fault,
    }


def will_go(texts: list[str], config: CorpusConfig) -> NDArray[np.bool_]:
    """Which texts a later step rejects, so that none stays in place of one that would [texts]."""
    flags = np.zeros(len(texts), dtype=np.bool_)
    later = config.steps_after_duplicates()
    if config.decontaminate and "decontaminate" in later and texts:
        flags |= contaminated(texts, evaluation_ngrams(config.decontaminate))
    if config.personal_data == "drop" and "personal" in later:
        flags |= np.array([bool(find_personal_data(text)) for text in texts], dtype=np.bool_)
    return flags


def exact_hashes(table: WordTable) -> NDArray[np.uint64]:
    """128-bit hash of the words of each text [texts, 2]."""
    digests = b"".join(
        xxhash.xxh3_128_digest(
            # A text without words (signs, emoji) is told by its characters.
            (table.hashes[start:end] if end > start else table.codes[first:last]).tobytes()
        )
        for (start, end), (first, last) in zip(
            pairwise(table.bounds), pairwise(table.text_starts), strict=True
        )
    )
    return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)


def min_hashes(table: WordTable, count: int) -> NDArray[np.uint32]:
    """At least `count` MinHash values of each text [texts, hashes]."""
    shingles, bounds = _shingles(table)
    count = max(count, SKETCH_BYTES)
    digests = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        shingles, bounds, count, MINHASH_SEED
    )
    return np.array(digests.to_rows(), dtype=np.uint32).reshape(-1, count)


def band_hashes(
    hashes: NDArray[np.uint32], num_bands: int, hashes_per_band: int
) -> NDArray[np.uint64]:
    """One hash for each band of each text [bands, texts]."""
    values = hashes[:, : num_bands * hashes_per_band].astype(np.uint64)
    values = values.reshape(len(hashes), num_bands, hashes_per_band)
    bands = np.zeros(values.shape[:2], dtype=np.uint64)
    for place in range(hashes_per_band):
        bands = mix(bands + values[:, :, place] + np.uint64(place))
    return np.ascontiguousarray(bands.T)


def similarity(sketch: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Estimated share of common shingles of a text with others [others]; `sketch` [128]."""
    agreeing = (others == sketch).mean(axis=1)
    by_chance = 1 / 256
    shares: NDArray[np.float64] = (agreeing - by_chance) / (1 - by_chance)
    return shares


def _shingles(table: WordTable) -> tuple[Hashes, NDArray[np.uint64]]:
    runs = ngram_hashes(table.hashes, SHINGLE_WORDS)
    text_of_word = table.text_of_word
    is_inside = text_of_word[: len(runs)] == text_of_word[SHINGLE_WORDS - 1 :][: len(runs)]
    text_of_run = text_of_word[: len(runs)][is_inside]
    runs = runs[is_inside]
    num_runs = np.bincount(text_of_run, minlength=len(table.bounds) - 1)
    short = np.flatnonzero(num_runs == 0)
    if len(short):  # their words together are their only shingle
        whole = exact_hashes(table)[short, 0]
        runs = np.concatenate([runs, whole])
        order = np.argsort(np.concatenate([text_of_run, short]), kind="stable")
        runs = runs[order]
        num_runs[short] = 1
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(num_runs)])
    return runs, bounds.astype(np.uint64)


def ranks(
    texts: list[str],
    is_good: NDArray[np.bool_],
    ascii_only: NDArray[np.bool_],
    num_words: NDArray[np.int64],
    capital_shares: NDArray[np.float64],
) -> NDArray[np.uint64]:
    """How good a member of its cluster each text is [texts]; greater is better.

    First the quality rules, then Turkish letters, then nothing lost in earlier conversions (U+FFFD,
    question marks inside words), then capitals as in prose, then length.
    """
    losses = np.array([_losses(text) for text in texts], dtype=np.int64)
    intact = 255 - np.minimum(255, losses)
    shouting = np.maximum(0, capital_shares - MAX_CAPITAL_SHARE)
    cased = np.where(capital_shares == 0, 0, 63 - np.minimum(63, 64 * shouting).astype(np.int64))
    rank: NDArray[np.uint64] = (
        (is_good.astype(np.uint64) << np.uint64(62))
        | ((~ascii_only).astype(np.uint64) << np.uint64(61))
        | (intact.astype(np.uint64) << np.uint64(48))
        | (cased.astype(np.uint64) << np.uint64(40))
        | np.minimum(num_words, (1 << 40) - 1).astype(np.uint64)
    )
    return rank


def _capital_shares(table: WordTable) -> NDArray[np.float64]:
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum((table.kinds & UPPER) != 0)])
    capitals = np.diff(running[table.text_starts])
    shares: NDArray[np.float64] = capitals / np.maximum(1, table.text_lengths)
    return shares


def _losses(text: str) -> int:
    lost = text.count("\ufffd")
    if "?" in text:
        parts = text.split("?")
        lost += sum(left[-1:].isalpha() and right[:1].isalpha() for left, right in pairwise(parts))
    return lost
