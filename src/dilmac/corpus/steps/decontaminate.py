"""Keep evaluation sets out of the corpus: documents that share a run of 13 words are rejected.

Source: GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C), whose runs are 13 words, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilmac.core import InputError, read_records
from dilmac.corpus.words import Hashes, WordTable, ngram_hashes, tables

NGRAM_WORDS = 13


@lru_cache(maxsize=2)
def evaluation_ngrams(patterns: tuple[str, ...]) -> Hashes:
    """Sorted hashes of all runs of 13 words in evaluation files [runs].

    Every text field of a record counts, questions, answers and passages alike; a text of fewer
    words has no run and is not looked for.

    Raises:
        InputError: a file is missing or damaged, or none holds a run of 13 words.
    """
    texts: list[str] = []
    found = [np.zeros(0, dtype=np.uint64)]
    for record in read_records(patterns):
        texts.extend(_strings(record))
        if len(texts) >= 1000:
            found.append(np.concatenate([_runs(table)[0] for _, table in tables(texts)]))
            texts = []
    found.extend(_runs(table)[0] for _, table in tables(texts))
    ngrams = np.unique(np.concatenate(found))
    if not len(ngrams):
        raise InputError(
            f"no run of {NGRAM_WORDS} words in them",
            where=", ".join(patterns),
            mend="give --decontaminate files with evaluation texts",
        )
    return ngrams


def contaminated(texts: Sequence[str], ngrams: Hashes) -> list[bool]:
    """Whether each text shares a run of 13 words with the evaluation sets."""
    flags = np.zeros(len(texts), dtype=np.bool_)
    for first, table in tables(texts):
        runs, text_of_run = _runs(table)
        place = np.minimum(np.searchsorted(ngrams, runs), len(ngrams) - 1)
        flags[first + text_of_run[ngrams[place] == runs]] = True
    return [bool(flag) for flag in flags]


def _runs(table: WordTable) -> tuple[Hashes, NDArray[np.int64]]:
    """Hashes of the runs inside the texts of a table, and the text of each [runs]."""
    hashes = ngram_hashes(table.hashes, NGRAM_WORDS)
    text_of_word = table.text_of_word
    is_inside = text_of_word[: len(hashes)] == text_of_word[NGRAM_WORDS - 1 :][: len(hashes)]
    return hashes[is_inside], text_of_word[: len(hashes)][is_inside]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
