"""Byte-pair merging over a whole text at once, in numpy: many merges a round instead of one.

A round counts all pairs of neighbors, takes those within `TAIL` of the best, and merges them where
they stand; where two overlap, the better one wins, as in a one-by-one training. 7,000 merges over
26 MB of text take about 40 rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

WALL = 0  # between texts; `<unk>`'s row, which no text holds

TAIL = 0.12  # pairs that save at least 88 % of what the best one saves are merged in one round
MAX_NEW_A_ROUND = 400
NUM_BINS_LOG2 = 21  # pairs are counted by hash first; 2^24 bins took ten times as long (cache)
NUM_BINS = 1 << NUM_BINS_LOG2
ROW_BITS = 20  # a pair is one number: left row, right row
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing (Knuth, TAOCP 3, 6.4)

Flags = NDArray[np.bool_]


class Borders(NamedTuple):
    """What a piece can never be joined to."""

    closed_left: bool  # nothing can stand before it
    closed_right: bool  # nothing can follow it
    starts_word: bool
    ends_sentence: bool  # nothing that starts a word can follow it


def cannot_follow(before: Borders, after: Borders) -> bool:
    """Whether the borders alone keep two pieces apart."""
    return before.closed_right or after.closed_left or (before.ends_sentence and after.starts_word)


@dataclass
class Pieces:
    """Rows of a vocabulary: their text, and which of them may be joined at all."""

    texts: list[str]
    is_open: list[bool]

    @classmethod
    def of_model(cls, model: bytes) -> Self:
        """The rows of a SentencePiece model; control, byte and user-defined ones are closed."""
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(model)
        normal = proto.SentencePiece.NORMAL
        return cls(
            [row.piece for row in proto.pieces], [row.type == normal for row in proto.pieces]
        )


class PairMerger:
    """Merges pairs of `ids`, [tokens], each of which counts `weights`, [tokens].

    `allow(left, right)` decides on a pair, `borders_of(piece)` rules most of them out at once.
    """

    def __init__(
        self,
        pieces: Pieces,
        text: tuple[NDArray[np.int32], NDArray[np.float32]],
        allow: Callable[[str, str], bool],
        borders_of: Callable[[str], Borders],
    ):
        self.pieces, self.allow, self.borders_of = pieces, allow, borders_of
        self.ids, self.weights = text
        self._row_of = {text: row for row, text in enumerate(pieces.texts)}
        self._borders: list[Borders] = []
        self._refused: set[int] = set()
        self._reach = 6 * MAX_NEW_A_ROUND  # heaviest bins that are looked into

    def run(self, num: int) -> list[str]:
        """Make up to `num` new pieces; fewer where no pair is left."""
        first = len(self.pieces.texts)
        while (missing := num - (len(self.pieces.texts) - first)) > 0:
            places, pairs = self._joinable()
            num_refused = len(self._refused)
            chosen = self._best(places, pairs, missing)
            if not chosen and len(self._refused) == num_refused:
                if self._reach >= NUM_BINS:
                    break
                self._reach *= 2  # the heaviest bins hold refused pairs and many rare ones
            self._merge(places, pairs, chosen)
        return self.pieces.texts[first:]

    def _joinable(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places whose token may be joined to the next one, and the pairs there, as numbers."""
        for row in range(len(self._borders), len(self.pieces.texts)):
            borders = self.borders_of(self.pieces.texts[row])
            is_open = self.pieces.is_open[row]
            self._borders.append(borders if is_open else Borders(True, True, False, False))
        table = np.array(self._borders, dtype=bool)[self.ids]
        closed_left, closed_right, starts_word, ends_sentence = table.T
        joinable = ~(closed_right[:-1] | closed_left[1:] | (ends_sentence[:-1] & starts_word[1:]))
        places = np.flatnonzero(joinable)
        return places, (self.ids[places].astype(np.int64) << ROW_BITS) | self.ids[places + 1]

    def _best(
        self, places: NDArray[np.int64], pairs: NDArray[np.int64], missing: int
    ) -> dict[int, int]:
        """Pairs to merge now, best first, and the row that each becomes."""
        ranked, saved = self._ranked(pairs, self.weights[places])
        chosen: dict[int, int] = {}
        best, num_new = 0.0, 0
        for pair, count in zip(ranked.tolist(), saved.tolist(), strict=True):
            if pair in self._refused:
                continue
            left = self.pieces.texts[pair >> ROW_BITS]
            right = self.pieces.texts[pair & ((1 << ROW_BITS) - 1)]
            row = self._row_of.get(left + right)
            # A control or user token's name is taken: never a second row that is read as content.
            if not self.allow(left, right) or (row is not None and not self.pieces.is_open[row]):
                self._refused.add(pair)
                continue
            best = best or count
            if row is None:
                if count < best * (1 - TAIL) or num_new >= min(missing, MAX_NEW_A_ROUND):
                    break
                row = self._new_row(left + right)
                num_new += 1
            chosen[pair] = row
        return chosen

    def _ranked(
        self, pairs: NDArray[np.int64], weights: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The pairs that stand for most tokens, and how many; ties by number.

        Counted by hash first, exactly then: only what falls into a heavy bin can be heavy.
        """
        hashed = (pairs.astype(np.uint64) * GOLDEN) >> np.uint64(64 - NUM_BINS_LOG2)
        bins = np.bincount(hashed.astype(np.int64), weights, minlength=NUM_BINS)
        num_wanted = min(self._reach + len(self._refused), NUM_BINS)
        limit = max(np.partition(bins, -num_wanted)[-num_wanted], np.finfo(np.float32).tiny)
        heavy = bins[hashed] >= limit
        distinct, which = np.unique(pairs[heavy], return_inverse=True)
        counts = np.bincount(which, weights[heavy])
        order = np.lexsort((distinct, -counts))
        order = order[counts[order] >= limit]
        return distinct[order], counts[order]

    def _new_row(self, text: str) -> int:
        row = len(self.pieces.texts)
        self.pieces.texts.append(text)
        self.pieces.is_open.append(True)
        self._row_of[text] = row
        return row

    def _merge(
        self, places: NDArray[np.int64], pairs: NDArray[np.int64], chosen: dict[int, int]
    ) -> None:
        if not chosen:
            return
        numbers = np.fromiter(chosen, dtype=np.int64)
        rows = np.fromiter(chosen.values(), dtype=np.int32)
        by_number = np.argsort(numbers)
        nearest = np.searchsorted(numbers[by_number], pairs).clip(max=len(numbers) - 1)
        hit = np.flatnonzero(numbers[by_number][nearest] == pairs)
        rank = by_number[nearest[hit]]
        taken = without_overlap(places[hit], rank)
        at = places[hit][taken]
        self.ids[at] = rows[rank[taken]]
        keep = np.ones(len(self.ids), dtype=bool)
        keep[at + 1] = False
        self.ids, self.weights = self.ids[keep], self.weights[keep]


def without_overlap(places: NDArray[np.int64], rank: NDArray[np.int64]) -> Flags:
    """Which of the pairs at `places` (ascending) are merged: of two that share a token the better.

    Of equal ones the left. What is left undecided after some looks waits for the next round.
    """
    taken = np.zeros(len(places), dtype=bool)
    waiting = np.ones(len(places), dtype=bool)
    for _ in range(6):
        index = np.flatnonzero(waiting)
        if not len(index):
            break
        touching = np.diff(places[index]) == 1
        ranks = rank[index]
        wins = np.ones(len(index), dtype=bool)
        wins[1:] &= ~(touching & (ranks[:-1] <= ranks[1:]))
        wins[:-1] &= ~(touching & (ranks[1:] < ranks[:-1]))
        loses = np.zeros(len(index), dtype=bool)
        loses[1:] |= touching & wins[:-1]
        loses[:-1] |= touching & wins[1:]
        taken[index[wins]] = True
        waiting[index[wins | loses]] = False
    return taken
