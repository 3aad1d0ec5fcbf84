"""Turkish words of a corpus with their counts, each as the base's ids: what merges are learnt from.

A text is counted by its space-led stretches, which the base's own pattern then cuts into words: a
word of Qwen's pattern never goes on over a space between two words. Rows are for Turkish alone:
without the two filters below new rows shortened English by 1.2 % and saved no more of Turkish
(38.63 % with them and without, 26 domains).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

from dilmac.core import say
from dilmac.tokenizer.canonical import token_bytes
from dilmac.tokenizer.extend.base import Base

Word = tuple[int, ...]
STRETCH = re.compile(r" ?[^ \n]{1,100}")
MAX_STRETCHES = 2_000_000  # half a gigabyte; 165 MB of Turkish hold one million
UNIT = 100  # what a word of the largest source counts; weights are whole, so sums are exact
ENCODED_AT_ONCE = 50_000
CODE = re.compile(r"[\\{}_=<>@#$^|~`]")  # a stretch with one of these is code, markup or an address
# A word as the base cuts it: at most one mark before it; small, capital, or a capital first.
SMALL, CAPITAL = "abcçdefgğhıijklmnoöprsştuüvyzâîû", "ABCÇDEFGĞHIİJKLMNOÖPRSŞTUÜVYZÂÎÛ"
TURKISH = re.compile(f"[ '’\"“(«-]?(?:[{CAPITAL}]?[{SMALL}]+|[{CAPITAL}]+)")


def source_weights(documents: Iterable[dict[str, Any]], balance: float) -> dict[str, int]:
    """What a word of each source counts, so that the source counts as its bytes**balance."""
    if balance == 1:
        return {}
    num_bytes: Counter[str] = Counter()
    for document in documents:
        num_bytes[document["source"]] += len(document["text"].encode())
    largest = max(num_bytes.values(), default=1)
    return {
        source: round(UNIT * (largest / size) ** (1 - balance))
        for source, size in num_bytes.items()
        if size
    }


def count_stretches(
    documents: Iterable[dict[str, Any]],
    weights: dict[str, int],
    max_stretches: int = MAX_STRETCHES,
) -> dict[str, int]:
    """Weighted counts; memory is bounded: a full table loses those that count least."""
    counts: dict[str, int] = {}
    for document in documents:
        weight = weights.get(document["source"], UNIT)
        for stretch, count in Counter(STRETCH.findall(document["text"])).items():
            counts[stretch] = counts.get(stretch, 0) + count * weight
        if len(counts) > max_stretches:
            floor = sorted(counts.values())[len(counts) // 2]
            counts = {stretch: count for stretch, count in counts.items() if count > floor}
            say(f"words: the table was full; {len(counts):,} above {floor / UNIT:g} stay")
    return counts


def words_of(base: Base, counts: dict[str, int]) -> dict[Word, int]:
    """Turkish words of two base tokens or more, by their ids, with their counts."""
    pieces = [data or b"" for data in token_bytes(base.fast)]
    words: dict[Word, int] = {}
    stretches = ((text, count) for text, count in counts.items() if not CODE.search(text))
    while batch := list(islice(stretches, ENCODED_AT_ONCE)):
        encodings = base.fast.encode_batch([text for text, _ in batch], add_special_tokens=False)
        for encoding, (_, count) in zip(encodings, batch, strict=True):
            for word in _pretokens(encoding):
                if len(word) > 1 and _is_turkish(b"".join([pieces[row] for row in word])):
                    words[word] = words.get(word, 0) + count
    return words


def _is_turkish(data: bytes) -> bool:
    return TURKISH.fullmatch(data.decode(errors="replace")) is not None


def _pretokens(encoding: Any) -> Iterator[Word]:
    places = zip(encoding.word_ids, encoding.ids, strict=True)
    for _, group in groupby(places, key=lambda place: place[0]):
        yield tuple(row for _, row in group)
