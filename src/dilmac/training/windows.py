"""A corpus as one memory-mapped row of ids, cut into windows in an order that a step number names.

Where training stands in the data is a function of (seed, step) alone, so a resumed run reads what
an undisturbed one would have read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dilmac.core import InputError, Steps, read_documents, write_json, written_whole
from dilmac.tokenizer import Tokenizer

INDEX = "index.json"


@dataclass(frozen=True)
class TokenFile:
    """Ids of a split in a row, each document ended by the end-of-text token."""

    path: Path
    dtype: str
    num_tokens: int
    num_text_bytes: int

    def ids(self) -> np.ndarray:
        """All ids `[num_tokens]`, memory-mapped."""
        return np.memmap(self.path, dtype=self.dtype, mode="r", shape=(self.num_tokens,))


def tokenize(corpus: Path, tokenizer: Tokenizer, folder: Path) -> TokenFile:
    """Encode the train split into `folder`; what is there and whole is used again.

    uint16 holds vocabularies up to 65,536 rows, uint32 the larger ones.
    """
    index = folder / INDEX
    path = folder / "train.bin"
    if index.is_file():
        return TokenFile(path, **json.loads(index.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    dtype = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
    num_tokens = num_bytes = 0

    def texts() -> Iterable[str]:
        nonlocal num_bytes
        for document in read_documents(corpus, "train"):
            num_bytes += len(document["text"].encode())
            yield document["text"]

    end = tokenizer.document_start_id
    with written_whole(path) as file, Steps("tokenize", unit="documents") as steps:
        for ids in tokenizer.encode_arrays(texts()):
            row = np.append(ids, np.uint32(end))
            if row.max() >= len(tokenizer):
                raise AssertionError("the tokenizer made an id outside its vocabulary")
            file.write(row.astype(dtype).tobytes())
            num_tokens += len(row)
            steps.advance(note=f"{num_tokens:,} tokens")
    tokens = {"dtype": dtype, "num_tokens": num_tokens, "num_text_bytes": num_bytes}
    write_json(index, tokens)
    return TokenFile(path, **tokens)  # type: ignore[arg-type]


class Windows:
    """Windows of `context + 1` ids, every one once an epoch, each epoch in its own order."""

    def __init__(self, tokens: TokenFile, context: int, seed: int):
        self.ids = tokens.ids()
        self.context, self.seed = context, seed
        self.num_windows = (tokens.num_tokens - 1) // context
        if self.num_windows < 1:
            raise InputError(
                f"{tokens.num_tokens} tokens do not fill one window of {context}",
                where="--corpus",
                mend="give more text or a smaller --context",
            )
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.num_windows)

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """The windows of a step, counted from 0: int64 `[batch_size, context + 1]`."""
        rows = np.empty((batch_size, self.context + 1), dtype=np.int64)
        for row in range(batch_size):
            epoch, place = divmod(step * batch_size + row, self.num_windows)
            start = int(self._order(epoch)[place]) * self.context
            rows[row] = self.ids[start : start + self.context + 1]
        return rows
