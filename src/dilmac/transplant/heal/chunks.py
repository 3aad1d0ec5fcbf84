"""The same bytes under the teacher's and the student's tokens, for ids as a batch holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from dilmac.tokenizer import Side, TokenizerAdapter, open_side


class Chunk(NamedTuple):
    """Places from the first to before the last, in the student's and the teacher's ids."""

    student: tuple[int, int]
    teacher: tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """Two tokenizers, and the way from the student's ids to the teacher's."""

    student: Side
    teacher: Side
    adapter: TokenizerAdapter

    @classmethod
    def of(cls, student: Path, teacher: Path) -> Pair:
        """Open both folders.

        Raises:
            InputError: one of them holds no tokenizer.
        """
        adapter = TokenizerAdapter(source=student, target=teacher)
        return cls(open_side(student), open_side(teacher), adapter)

    def read(self, ids: Sequence[int]) -> tuple[list[int], list[Chunk]]:
        """The teacher's ids of a row of the student's, and the fewest tokens of both that cover
        the same bytes; a control token is a chunk of its own.
        """
        theirs = self.adapter.adapt_tokens(ids)
        ours_at, theirs_at = _ends(ids, self.student), _ends(theirs, self.teacher)
        shared = sorted(set(ours_at) & set(theirs_at))
        spans = (
            list(pairwise([0, *(ends.index(place) + 1 for place in shared)]))
            for ends in (ours_at, theirs_at)
        )
        return theirs, [Chunk(*both) for both in zip(*spans, strict=True)]


def _ends(ids: Sequence[int], side: Side) -> list[int]:
    """Where each token ends, counted in bytes; a control token counts as one."""
    return list(accumulate(len(side.rows[row] or b"?") for row in ids))
