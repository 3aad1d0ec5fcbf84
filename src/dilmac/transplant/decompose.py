"""How the old tokenizer cuts a new token in text, and not alone.

Alone, ` evlerinden` is always cut one way; in text it may be cut several, because what stands
before or after it belongs to old tokens too. Only cuts that begin and end with the token count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dilmac.tokenizer import Side, Tokenizer

MAX_BYTES = 20_000_000  # of text that is looked at
Cuts = dict[int, Counter[tuple[int, ...]]]


def cuts_in_text(
    rows: Iterable[int], source: Side, target: Tokenizer, target_side: Side, texts: Iterable[str]
) -> Cuts:
    """For each new row that occurs, how often the old tokenizer cut it in which way.

    `texts` are read up to `MAX_BYTES`.
    """
    wanted = frozenset(rows)
    old_tokenizer = Tokenizer(source.where)
    cuts: Cuts = {}
    left = MAX_BYTES
    for text in texts:
        left -= len(text.encode())
        if left < 0:
            break
        new, old = target.encode(text), old_tokenizer.encode(text)
        new_ends, old_ends = _ends(new, target_side), _ends(old, source)
        if not len(new_ends) or not len(old_ends) or new_ends[-1] != old_ends[-1]:
            continue  # one of them does not keep this text
        starts = np.concatenate([[0], new_ends[:-1]])
        old_starts = np.concatenate([[0], old_ends[:-1]])
        firsts = np.searchsorted(old_starts, starts)
        lasts = np.searchsorted(old_ends, new_ends)
        begins = old_starts[np.minimum(firsts, len(old) - 1)] == starts
        is_clean = begins & (old_ends[lasts] == new_ends)
        for place in is_clean.nonzero()[0].tolist():
            if new[place] in wanted:
                cut = tuple(old[firsts[place] : lasts[place] + 1])
                cuts.setdefault(new[place], Counter())[cut] += 1
    return cuts


def _ends(ids: Sequence[int], side: Side) -> NDArray[np.int64]:
    """Where each token's bytes end in the text."""
    widths = [len(side.rows[row] or b"") for row in ids]
    return np.cumsum(np.array(widths, dtype=np.int64))
