"""The same bytes under the teacher's and the student's tokens, for ids as a batch holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilmac.tokenizer import Chunk, Side, TokenizerAdapter, open_side, shared_chunks


@dataclass(frozen=True)
class Pair:
    """The student's tokenizer, the teacher's, and the way from the one's ids to the other's."""

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
        the same bytes: `source` the student's, `target` the teacher's. A control token is a chunk
        of its own.
        """
        theirs = self.adapter.adapt_tokens(ids)
        widths = _widths(ids, self.student), _widths(theirs, self.teacher)
        return theirs, shared_chunks(*widths)


def _widths(ids: Sequence[int], side: Side) -> NDArray[np.int64]:
    """Bytes of each token; a control token counts as one."""
    return np.array([len(side.rows[row] or b"?") for row in ids], dtype=np.int64)
