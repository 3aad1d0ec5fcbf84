"""Token folders made of numbers, where every token can be told from every other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dilmac.training.token_file import EncodedDocument, TokenFile, write_tokens

END = 0


def numbered_tokens(folder: Path, lengths: Sequence[int], *, shard_bytes: int = 64) -> TokenFile:
    """Documents of so many tokens, end included; their ids count from 1 through all of them."""
    documents = []
    first = 1
    for length in lengths:
        ids = np.arange(first, first + length - 1, dtype=np.uint32)
        documents.append(EncodedDocument(ids, "numbers", 4 * len(ids)))
        first += length - 1
    return write_tokens(folder, documents, vocab_size=1 << 16, end_id=END, shard_bytes=shard_bytes)


def all_ids(tokens: TokenFile) -> list[int]:
    """Every id of a folder, in order."""
    return tokens.read(0, tokens.num_tokens).tolist()
