"""How the old tokenizer cuts a new token in text, and not alone.

Alone, ` evlerinden` is always cut one way; in text it may be cut several, because what stands
before or after it belongs to old tokens too. Only cuts that begin and end with the token count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dilmac.tokenizer import Side, align

MAX_BYTES = 20_000_000  # of text that is looked at
Cuts = dict[int, Counter[tuple[int, ...]]]


def cuts_in_text(rows: Iterable[int], source: Side, target: Side, texts: Iterable[str]) -> Cuts:
    """For each new row that occurs, how often the old tokenizer cut it in which way.

    `texts` are read up to `MAX_BYTES`.
    """
    wanted = frozenset(rows)
    cuts: Cuts = {}
    left = MAX_BYTES
    for text in texts:
        left -= len(text.encode())
        if left < 0:
            break
        found = align(source, target, text)
        for (first, last), (place, end), _ in found.chunks:
            # One new token alone in a chunk: both begin and end there.
            row = found.target_ids[place]
            if end == place + 1 and row in wanted:
                cut = tuple(found.source_ids[first:last])
                cuts.setdefault(row, Counter())[cut] += 1
    return cuts
