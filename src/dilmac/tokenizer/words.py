"""The words of a text and how often each counts: all that a vocabulary inside words is made of.

Pieces of the first pass never cross a space, so words with their counts say as much as the text,
weights need no repeated text, and memory holds words instead of gigabytes. A word keeps the space
before it; a line break is a word together with the marks before it (`.⏎`), so that pieces may end
with line breaks and never cross one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from dilmac.core import say

# SentencePiece's trainer reads lines: a line break in a word is written as this private character.
LINE_BREAK = "\ue00a"
MAX_WORD_CHARS = 1000  # longer runs without a space are data, not words

PASSAGE_CHARS = 16_000  # of 1,000, 4,000 and 16,000 the best on domains left out

# Distinct words in memory at most, about 250 bytes each. When there are more, the rarest go.
MAX_WORDS = 4_000_000

# From the first mark of a run on: from each of them would be quadratic in a long line of dashes.
_LINE_END = re.compile(r"(?<![^\w\s])[^\w\s]*\n+")
# What has a meaning in the trainer's file, or in a piece.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\u2581]|\w.*\ue00a|\ue00a[^\ue00a]")
_THREE_DIGITS = re.compile(r"([0-9]{3})(?=[0-9])")


class WordCounts:
    """Words of weighted texts and their counts, in bounded memory.

    A word counts once in a passage of PASSAGE_CHARS: what one text repeats (`MenuBar::`) says
    little about others. On domains left out that saves 0.5 points more, on trained ones 0.1.

    Whenever there are more than `max_words` distinct words, those that weigh least are forgotten
    until half of them are left.
    """

    def __init__(self, max_words: int = MAX_WORDS):
        self.max_words = max_words
        # Counters are filled by C code, so weights are kept apart: one counter for each weight and
        # for what stands before the word, a space or nothing.
        self._counters: dict[tuple[float, str], Counter[str]] = {}
        self._num_unchecked = 0  # words since the size of the table was looked at

    def add(self, text: str, weight: float) -> None:
        """Count the words of a text."""
        at_start, inside = self._counter(weight, ""), self._counter(weight, " ")
        for start in range(0, len(text), PASSAGE_CHARS):
            passage = text[start : start + PASSAGE_CHARS]
            lines = [line.split(" ") for line in passage.split("\n")]
            first = {line[0] for line in lines}
            others = {word for line in lines for word in line[1:]}
            at_start.update(word for word in first if len(word) <= MAX_WORD_CHARS)
            inside.update(word for word in others if len(word) <= MAX_WORD_CHARS)
            self._num_unchecked += len(first) + len(others)
            at_start.update({end.replace("\n", LINE_BREAK) for end in _LINE_END.findall(passage)})
        if self._num_unchecked > self.max_words // 10:
            self._num_unchecked = 0
            if sum(map(len, self._counters.values())) > self.max_words:
                self._forget_rare()

    def _counter(self, weight: float, before: str) -> Counter[str]:
        return self._counters.setdefault((weight, before), Counter())

    def _forget_rare(self) -> None:
        weighed = sorted(
            weight * count
            for (weight, _), counter in self._counters.items()
            for count in counter.values()
        )
        limit = weighed[-(self.max_words // 2)]
        room = self.max_words // 2 - (len(weighed) - bisect_right(weighed, limit))
        ties = sorted(
            (before, word, weight)
            for (weight, before), counter in self._counters.items()
            for word, count in counter.items()
            if weight * count == limit
        )
        kept_ties = set(ties[:room])  # in order of the alphabet: the same ones in every run
        for (weight, before), counter in self._counters.items():
            kept = {
                word: count
                for word, count in counter.items()
                if weight * count > limit or (before, word, weight) in kept_ties
            }
            self._counters[weight, before] = Counter(kept)
        say(f"words: the table was full; of {len(weighed):,} half stay, which count {limit:g} up")

    def words(self) -> dict[str, float]:
        """Words, each with the space before it, and how often each counts; the table is emptied."""
        total: dict[str, float] = {}
        while self._counters:
            (weight, before), counter = self._counters.popitem()
            for bare, count in counter.items():
                if bare and not _UNUSABLE.search(bare):
                    word = before + bare
                    total[word] = total.get(word, 0.0) + weight * count
        return total


def count_words(texts: Iterable[tuple[str, float]], max_words: int = MAX_WORDS) -> dict[str, float]:
    """Words of weighted texts and how often each counts; see `WordCounts`."""
    counts = WordCounts(max_words)
    for text, weight in texts:
        counts.add(text, weight)
    return counts.words()


def write_words(words: Mapping[str, float], path: Path, *, triples: bool) -> None:
    """Write words as SentencePiece's trainer reads them: word, tab, whole number; most first.

    With `triples` a run of digits is cut after every third, so that no piece holds more.
    """
    scale = 10  # tenths of a count are kept
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    with path.open("w", encoding="utf-8") as file:
        for word, count in ranked:
            if weight := round(count * scale):
                parts = _THREE_DIGITS.sub(r"\1\n", word).split("\n") if triples else [word]
                file.writelines(f"{part}\t{weight}\n" for part in parts)


def with_line_breaks(model: bytes) -> bytes:
    """A trained model in which the stand-in for a line break is a line break."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    for row in proto.pieces:
        row.piece = row.piece.replace(LINE_BREAK, "\n")
    proto.trainer_spec.required_chars = proto.trainer_spec.required_chars.replace(LINE_BREAK, "\n")
    # What is no property of the vocabulary: a temporary file's name, how many cores there were.
    proto.trainer_spec.ClearField("input")
    proto.trainer_spec.ClearField("num_threads")
    return bytes(proto.SerializeToString())
