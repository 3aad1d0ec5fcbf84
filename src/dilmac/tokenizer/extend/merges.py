"""Byte-pair merges over words that are tokens of the base already (Sennrich et al., 2016).

New merges come after all old ones, so a text is read first as the base reads it and then joined
further. A merge that would make the bytes of a token that exists is not taken: every new row has
one pair and therefore one way back to the base's ids, for every text.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from itertools import pairwise

from dilmac.core import Steps
from dilmac.tokenizer.extend.base import Pair
from dilmac.tokenizer.extend.words import UNIT, Word

MIN_COUNT = 2 * UNIT  # a pair seen once is no habit of the language


def learn_merges(words: dict[Word, int], names: list[str], rows: int) -> list[Pair]:
    """At most `rows` merges, the most frequent pair first, ties to the lower ids.

    The merge at place n makes the row `len(names) + n`. `names` are the base's rows, whose joined
    names are joined bytes.
    """
    sequences, counts = list(words), list(words.values())
    weight: dict[Pair, int] = defaultdict(int)
    places: dict[Pair, set[int]] = defaultdict(set)
    for place, (word, count) in enumerate(words.items()):
        for pair in pairwise(word):
            weight[pair] += count
            places[pair].add(place)
    queue = [(-count, pair) for pair, count in weight.items() if count >= MIN_COUNT]
    heapq.heapify(queue)
    names = list(names)
    known = set(names)
    merges: list[Pair] = []
    with Steps("merges", total=rows, unit="rows") as steps:
        while queue and len(merges) < rows:
            count, pair = heapq.heappop(queue)
            if weight[pair] != -count:  # it has lost occurrences since
                if weight[pair] >= MIN_COUNT:
                    heapq.heappush(queue, (-weight[pair], pair))
                continue
            name = names[pair[0]] + names[pair[1]]
            if name in known:
                continue
            new = len(names)
            names.append(name)
            known.add(name)
            merges.append(pair)
            born: set[Pair] = set()
            for place in places.pop(pair):
                old = sequences[place]
                word = sequences[place] = join(old, pair, new)
                for gone in pairwise(old):
                    weight[gone] -= counts[place]
                for found in pairwise(word):
                    weight[found] += counts[place]
                    if new in found:
                        places[found].add(place)
                        born.add(found)
            for found in born:
                if weight[found] >= MIN_COUNT:
                    heapq.heappush(queue, (-weight[found], found))
            steps.advance(1)
    return merges


def join(word: Word, pair: Pair, new: int) -> Word:
    """The word with every occurrence of the pair, from the left, as one row."""
    joined: list[int] = []
    place, last = 0, len(word) - 1
    while place <= last:
        if place < last and word[place] == pair[0] and word[place + 1] == pair[1]:
            joined.append(new)
            place += 2
        else:
            joined.append(word[place])
            place += 1
    return tuple(joined)
