"""Which old rows stay: those that are used most, and those that another row is made of.

A row goes only when no row that stays is made of it, the least used first; what it was used for
then falls to its two parts (leaf pruning: Purason et al., 2025). So every row that stays is still
made as it was, and a text whose tokens all stay keeps its tokens.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping

from dilmac.core import ConfigError
from dilmac.tokenizer.extend.base import Base, Pair


def rows_to_keep(base: Base, learnt: list[Pair], use: Mapping[int, float], keep: int) -> list[int]:
    """Ids of `keep` old rows, in order.

    `use` is the share of each row, old and new, in the text that is to stay cheap.

    Raises:
        ConfigError: the single bytes, the control tokens and what other rows are made of are more
            than `keep`.
    """
    num_old = len(base.names)
    ids = {name: row for row, name in enumerate(base.names)}
    pairs = [
        (ids[base.names[first] + base.names[last]], first, last) for first, last in base.merges
    ]
    pairs += [(num_old + place, *pair) for place, pair in enumerate(learnt)]
    parts: dict[int, set[int]] = defaultdict(set)
    made_of: dict[int, set[int]] = defaultdict(set)  # row → rows that are made of it
    for row, first, last in pairs:
        parts[row] |= {first, last}
        made_of[first].add(row)
        made_of[last].add(row)
    used = defaultdict(float, use)
    kept = {row for row, name in enumerate(base.names) if name}
    if keep > len(kept):
        raise ConfigError(
            f"{keep:,} rows are more than the base's {len(kept):,}",
            where="--keep",
            mend="leave it out to keep all",
        )
    may_go = kept & parts.keys()
    queue = [(used[row], -row) for row in may_go if not made_of[row]]
    heapq.heapify(queue)
    while len(kept) > keep:
        if not queue:
            raise ConfigError(
                f"{keep:,} old rows are too few",
                where="--keep",
                mend=f"give at least {len(kept):,}: the bytes, the control tokens and what the new "
                "rows are made of; fewer --rows need fewer",
            )
        row = -heapq.heappop(queue)[1]
        kept.remove(row)
        for part in parts[row]:
            used[part] += used[row]
            made_of[part].remove(row)
            if part in may_go and not made_of[part]:
                heapq.heappush(queue, (used[part], -part))
    return sorted(kept)
