"""The text that rows are learnt from, what rows it uses, and what it costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import tokenizers

from dilmac.core import Figures, read_measured_texts, read_texts
from dilmac.tokenizer.extend.config import ExtendConfig
from dilmac.tokenizer.sample import WeighedText

# Of the corpus and of every other text: enough to see what rows are used and what a text costs.
MEASURED_BYTES = 20_000_000
TEXTS_AT_ONCE = 500


@dataclass(frozen=True)
class Reading:
    """The text that rows are learnt from, and the texts that they are measured on."""

    config: ExtendConfig
    text: WeighedText

    def heldout(self) -> tuple[str, Iterator[str]]:
        """The split that is measured, and its texts: unseen ones where the corpus has them."""
        if any(self.config.corpus.glob("heldout-*")):
            return "heldout", _up_to(MEASURED_BYTES, read_texts(self.config.corpus, "heldout"))
        return "train", (text for text, _ in self.text.stream(MEASURED_BYTES))

    def others(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Name and texts of each of the other texts."""
        for pattern in self.config.other_texts:
            yield Path(pattern).name, read_measured_texts([pattern], max_bytes=MEASURED_BYTES)

    def use(self, fast: tokenizers.Tokenizer) -> dict[int, float]:
        """Share of each row in the text: the corpus and every other text weigh the same."""
        others = (((text, 1.0) for text in texts) for _, texts in self.others())
        parts = [self.text.stream(MEASURED_BYTES), *others]
        use: dict[int, float] = defaultdict(float)
        for part in parts:
            counts = count_rows(fast, part)
            total = sum(counts.values())
            for row, count in counts.items():
                use[row] += count / total
        return use


def count_rows(fast: tokenizers.Tokenizer, texts: Iterable[tuple[str, float]]) -> dict[int, float]:
    """How often each row is used in texts, each with its weight."""
    counts: dict[int, float] = defaultdict(float)
    texts = iter(texts)
    while batch := list(islice(texts, TEXTS_AT_ONCE)):
        encodings = fast.encode_batch_fast([text for text, _ in batch], add_special_tokens=False)
        for encoding, (_, weight) in zip(encodings, batch, strict=True):
            for row, count in Counter(encoding.ids).items():
                counts[row] += count * weight
    return counts


def measure(
    base: tokenizers.Tokenizer, extended: tokenizers.Tokenizer, reading: Reading
) -> Figures:
    """Tokens of unseen Turkish and of the other texts, beside what the base makes of them."""
    split, texts = reading.heldout()
    ours, theirs, words = _compared(base, extended, texts)
    others = {name: _compared(base, extended, texts) for name, texts in reading.others()}
    return {
        "measured_on": split,
        "tokens_per_word": round(ours / max(1, words), 4),
        "base_tokens_per_word": round(theirs / max(1, words), 4),
        "saved_percent": round(100 * (1 - ours / max(1, theirs)), 2),
        "other_texts_change_percent": {
            name: round(100 * (ours / max(1, theirs) - 1), 3)
            for name, (ours, theirs, _) in others.items()
        },
    }


def _compared(
    base: tokenizers.Tokenizer, extended: tokenizers.Tokenizer, texts: Iterable[str]
) -> tuple[int, int, int]:
    """Tokens in the extended vocabulary, tokens in the base, words."""
    ours = theirs = words = 0
    texts = iter(texts)
    while batch := list(islice(texts, TEXTS_AT_ONCE)):
        ours += sum(map(len, extended.encode_batch_fast(batch, add_special_tokens=False)))
        theirs += sum(map(len, base.encode_batch_fast(batch, add_special_tokens=False)))
        words += sum(len(text.split()) for text in batch)
    return ours, theirs, words


def _up_to(max_bytes: int, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        max_bytes -= len(text.encode())
        if max_bytes < 0:
            return
        yield text
