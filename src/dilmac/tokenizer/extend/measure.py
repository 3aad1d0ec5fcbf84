"""The text that rows are learnt from, what rows it uses, and what it costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import tokenizers
import xxhash

from dilmac.core import Figures, read_documents, read_measured_texts
from dilmac.tokenizer.extend.config import ExtendConfig
from dilmac.tokenizer.extend.words import UNIT, source_weights

# Of the corpus and of every other text: enough to see what rows are used and what a text costs.
MEASURED_BYTES = 20_000_000
TEXTS_AT_ONCE = 500

Document = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What of a corpus is read, and what each of its sources counts."""

    config: ExtendConfig
    train_bytes: int  # of the whole split
    weights: dict[str, int]

    @classmethod
    def of(cls, config: ExtendConfig, figures: Figures) -> Reading:
        """The reading that a config asks for; `figures` are the corpus's."""
        train_bytes = figures["text_bytes_kept"] - figures["text_bytes_heldout"]
        whole = cls(config, train_bytes, {})
        return cls(config, train_bytes, source_weights(whole.documents(), config.balance))

    @property
    def num_bytes(self) -> int:
        return min(self.train_bytes, self.config.max_text_bytes)

    def documents(self, max_bytes: int | None = None) -> Iterator[Document]:
        """Documents of the train split, sampled by hash to about `max_bytes` in all."""
        share = min(self.num_bytes, max_bytes or self.num_bytes) / max(1, self.train_bytes)
        for document in read_documents(self.config.corpus, "train"):
            if share >= 1 or xxhash.xxh3_64_intdigest(document["text"]) / 2**64 < share:
                yield document

    def heldout(self) -> tuple[str, Iterator[str]]:
        """The split that is measured, and its texts: unseen ones where the corpus has them."""
        if any(self.config.corpus.glob("heldout-*")):
            split, documents = "heldout", read_documents(self.config.corpus, "heldout")
        else:
            split, documents = "train", self.documents(MEASURED_BYTES)
        return split, _up_to(MEASURED_BYTES, (document["text"] for document in documents))

    def others(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Name and texts of each of the other texts."""
        for pattern in self.config.other_texts:
            yield Path(pattern).name, read_measured_texts([pattern], max_bytes=MEASURED_BYTES)

    def use(self, fast: tokenizers.Tokenizer) -> dict[int, float]:
        """Share of each row in the text: the corpus and every other text weigh the same."""
        weighed = (
            (document["text"], self.weights.get(document["source"], UNIT))
            for document in self.documents(MEASURED_BYTES)
        )
        parts = [weighed, *(((text, UNIT) for text in texts) for _, texts in self.others())]
        use: dict[int, float] = defaultdict(float)
        for part in parts:
            counts = count_rows(fast, part)
            total = counts.total()
            for row, count in counts.items():
                use[row] += count / total
        return use


def count_rows(fast: tokenizers.Tokenizer, texts: Iterable[tuple[str, int]]) -> Counter[int]:
    """How often each row is used in texts, each with its weight."""
    counts: Counter[int] = Counter()
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
