"""An extended vocabulary and its base: one's ids from the other's, without encoding a text.

Byte-pair merges apply best first, and the new ones come after all old ones. So the extended
tokenizer first reads a word as the base does and then joins further, and where every new row has
one pair, a row has one way back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import tokenizers
from tokenizers import models

from dilmac.tokenizer.adapter.side import Side

Pair = tuple[int, int]
FIRST_LETTER = 0xE000  # an id is written as the character that many above it: past the surrogates
BORDER = "\0"  # stands between pretokens; no merge holds it
NO_CHARACTER = re.compile("[\udc80-\udcff]")  # a byte that was no UTF-8


class ExtensionTable:
    """Ids of a base and of the same tokenizer with more merges."""

    def __init__(self, base: Side, pre_tokenizer: Any, parents: dict[int, Pair]):
        """`parents` are the pair of ids that makes each new row, in the order of the merges."""
        self._base, self._pre_tokenizer = base, pre_tokenizer
        self._base_ids: dict[int, tuple[int, ...]] = {}
        for row, pair in parents.items():
            self._base_ids[row] = tuple(self.expand(pair))
        # Byte-pair encoding in which the base's ids are the letters.
        letters = {chr(FIRST_LETTER + row): row for row in range(len(base.rows))}
        words = {self._spelled([row]): row for row in parents}
        merges = [
            (self._spelled([first]), self._spelled([last])) for first, last in parents.values()
        ]
        self._border_row = len(letters) + len(words)
        self._bpe = models.BPE(vocab=letters | words | {BORDER: self._border_row}, merges=merges)

    def expand(self, ids: Iterable[int]) -> list[int]:
        """Ids of the base for ids of the extended tokenizer."""
        return [old for row in ids for old in self._base_ids.get(row, (row,))]

    def compress(self, ids: Sequence[int]) -> list[int]:
        """Ids of the extended tokenizer for ids of the base, which are content."""
        pieces = self._base.pieces(ids)
        starts = self._pretoken_starts(b"".join(pieces))
        letters: list[str] = []
        place = 0
        for row, piece in zip(ids, pieces, strict=True):
            if place in starts:
                letters.append(BORDER)
            letters.append(chr(FIRST_LETTER + row))
            place += len(piece)
        merged = self._bpe.tokenize("".join(letters))
        return [token.id for token in merged if token.id != self._border_row]

    def _spelled(self, ids: Iterable[int]) -> str:
        return "".join(chr(FIRST_LETTER + row) for row in self.expand(ids))

    def _pretoken_starts(self, data: bytes) -> set[int]:
        """Places where a pretoken begins: no merge reaches over them."""
        text = NO_CHARACTER.sub("\0", data.decode(errors="surrogateescape"))
        pretokens = self._pre_tokenizer.pre_tokenize_str(text)
        # Written in GPT-2's alphabet, a symbol for a byte.
        return set(accumulate((len(symbols) for symbols, _ in pretokens), initial=0))


def find_table(base: Side, extended: Side) -> ExtensionTable | None:
    """The table of two tokenizers if the second is the first with more merges, else None.

    None too where the way back is not told by the row: a new row with two pairs, or a new merge
    that makes an old row.
    """
    if base.fast is None or extended.fast is None:
        return None
    parents = _new_rows(base.fast, extended.fast)
    known = len(base.rows)
    for row, pair in parents.items():
        if row != known or max(pair) >= known:
            return None
        known += 1
    return ExtensionTable(base, base.fast.pre_tokenizer, parents) if parents else None


def _new_rows(base: tokenizers.Tokenizer, extended: tokenizers.Tokenizer) -> dict[int, Pair]:
    """Rows of the extended vocabulary that are not the base's and the pair that makes each, in the
    order of the merges; empty if one does not extend the other.
    """
    if base.get_vocab_size() >= extended.get_vocab_size():
        return {}
    old, new = json.loads(base.to_str()), json.loads(extended.to_str())
    old_ids, new_ids = old["model"].pop("vocab"), new["model"].pop("vocab")
    old_merges, new_merges = old["model"].pop("merges"), new["model"].pop("merges")
    added = new_merges[len(old_merges) :]
    is_extension = (
        all(old[part] == new[part] for part in ("model", "normalizer", "pre_tokenizer"))
        and "ByteLevel" in json.dumps(old["pre_tokenizer"])
        and not old["model"]["ignore_merges"]
        and new_merges[: len(old_merges)] == old_merges
        and old_ids.items() <= new_ids.items()
    )
    if not is_extension:
        return {}
    parents = {new_ids[a + b]: (new_ids[a], new_ids[b]) for a, b in added}
    return parents if len(parents) == len(added) else {}
