"""Claim: cross-word pieces, marks and weighed sources save more of Qwen3's tokens, also on text of
domains that the training never saw.

    python benchmarks/tokenizer_quality.py CORPUS QWEN [--rows 32000] [--folds plain chosen …]

CORPUS is a corpus artifact whose documents name their domain as `source`; QWEN is a folder with
Qwen3's tokenizer. Of each variant: saved tokens on held-out documents of the trained domains, and,
leaving one domain out at a time, on that domain; macro averages over domains.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentencepiece
import xxhash

from dilmac.core import num_cpus, read_documents
from dilmac.tokenizer import Tokenizer, TokenizerConfig
from dilmac.tokenizer.sample import weights_of
from dilmac.tokenizer.special import SPACE_MARK
from dilmac.tokenizer.superwords import add_superwords
from dilmac.tokenizer.train import train_on_words
from dilmac.tokenizer.words import MAX_WORD_CHARS, count_words
from support.measuring import heading

# Sources of the shared corpus that are one domain.
DOMAIN = {
    "education-kids": "education",
    "astronomy-culture": "encyclopedic",
    "children-stories": "stories",
    "fiction": "stories",
    "technical-finance": "technical",
    "engineering": "technical",
    "dictionary-examples": "treebank",
    "dialogue-travel": "treebank",
    "grammar-examples": "treebank",
    "mixed-written": "treebank",
    "news": "treebank",
}
Texts = dict[str, list[str]]
MAX_BYTES_A_DOMAIN = 1_500_000  # of a domain that is left out


def variants(rows: int) -> dict[str, dict[str, Any]]:
    """What is compared: settings of `dilmac tokenizer train`, beside plain SentencePiece."""
    quarter = {"superwords": rows // 4, "max_superword_bytes": 40_000_000}
    even = {"balance": 0.0, "max_weight": 100.0}
    return {
        "plain": {"join_marks": False},  # on every word, line by line: SentencePiece's own
        "words": {"join_marks": False},
        "words, weighed": {"join_marks": False, **even},
        "marks": {},
        "marks, weighed": even,
        "superwords": quarter,
        "superwords, no marks, weighed": {"join_marks": False, **quarter, **even},
        "superwords, balance 0.5": {**quarter, "balance": 0.5},
        "superwords, weight to 20": {**quarter, **even, "max_weight": 20.0},
        "superwords, weight to 400": {**quarter, **even, "max_weight": 400.0},
        "superwords 1/8, weighed": {**even, "superwords": rows // 8},
        "superwords 3/8, weighed": {**even, "superwords": rows * 3 // 8},
        "chosen": {**quarter, **even},
    }


def domain_of(source: str) -> str:
    return "web" if source.startswith("web-") else DOMAIN.get(source, source)


class Bench:
    """The text by source, its words, and the tokens that Qwen3 makes of what is measured."""

    def __init__(self, corpus: Path, qwen: Path, rows: int):
        self.corpus, self.rows = corpus, rows
        self.train: Texts = defaultdict(list)
        self.heldout: Texts = defaultdict(list)
        self.unseen: Texts = defaultdict(list)
        sizes: dict[str, int] = defaultdict(int)
        for split in ("heldout", "train"):
            for document in read_documents(corpus, split):
                domain, text = domain_of(document["source"]), document["text"]
                if split == "heldout":
                    self.heldout[domain].append(text)
                else:
                    self.train[document["source"]].append(text)
                if sizes[domain] < MAX_BYTES_A_DOMAIN:
                    sizes[domain] += len(text.encode())
                    self.unseen[domain].append(text)
        self.sizes = {
            name: sum(len(text.encode()) for text in texts) for name, texts in self.train.items()
        }
        self.words = {
            name: count_words((text, 1.0) for text in texts) for name, texts in self.train.items()
        }
        self.every_word = {name: count_every_word(texts) for name, texts in self.train.items()}
        tokenizer = Tokenizer(qwen)
        self.qwen_heldout = {name: count(tokenizer, texts) for name, texts in self.heldout.items()}
        self.qwen_unseen = {name: count(tokenizer, texts) for name, texts in self.unseen.items()}

    def learn(self, name: str, left_out: str | None = None) -> bytes:
        """The model of a variant, of all domains but one."""
        sizes = {name: size for name, size in self.sizes.items() if domain_of(name) != left_out}
        config = TokenizerConfig(
            corpus=self.corpus, vocab_size=self.rows, out=Path(), **variants(self.rows)[name]
        )
        weights = weights_of(sizes, config.balance, config.max_weight)
        words: dict[str, float] = defaultdict(float)
        for source, counts in (self.every_word if name == "plain" else self.words).items():
            for word, number in counts.items() if source in sizes else ():
                words[word] += number * weights[source]
        model = train_on_words(words, self.rows - config.superwords, config)
        if not config.superwords:
            return model
        sample = self.sample(sizes, weights, config.max_superword_bytes)
        return add_superwords(model, sample, config.superwords, config.superword_words)

    def sample(
        self, sizes: dict[str, int], weights: dict[str, float], max_bytes: int
    ) -> Iterator[tuple[str, float]]:
        """As `WeighedText.stream`, of texts in memory."""
        counted = sum(sizes[name] * weights[name] for name in sizes)
        for source in sizes:
            share = min(1.0, weights[source] * max_bytes / counted)
            for text in self.train[source]:
                if xxhash.xxh3_64_intdigest(text) / 2**64 < share:
                    yield text, weights[source] / share

    def seen(self, model: bytes) -> dict[str, float]:
        return saved(model, self.heldout, self.qwen_heldout)

    def left_out(self, name: str) -> dict[str, float]:
        values: dict[str, float] = {}
        for domain in sorted(self.unseen):
            only = {domain: self.unseen[domain]}
            values |= saved(self.learn(name, domain), only, self.qwen_unseen)
        return values


def count_every_word(texts: list[str]) -> Counter[str]:
    """Words as SentencePiece's own trainer counts them: all of them, line by line."""
    counts: Counter[str] = Counter()
    for text in texts:
        for line in text.split("\n"):
            first, *others = line.split(" ")
            counts.update([first, *(" " + word for word in others if word)])
    return Counter({word: count for word, count in counts.items() if is_usable(word)})


def is_usable(word: str) -> bool:
    return 0 < len(word) <= MAX_WORD_CHARS and word.isprintable() and SPACE_MARK not in word


def count(tokenizer: Tokenizer, texts: list[str]) -> int:
    return sum(len(ids) for ids in tokenizer.encode_arrays(texts))


def saved(model: bytes, texts: Texts, qwen: dict[str, int]) -> dict[str, float]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    result = {}
    for domain in sorted(texts):
        encoded = processor.encode(texts[domain], num_threads=num_cpus())
        result[domain] = 100 * (1 - sum(map(len, encoded)) / qwen[domain])
    return result


def macro(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)


def shown(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.1f}" for name, value in values.items())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("qwen", type=Path)
    parser.add_argument("--rows", type=int, default=32_000)
    parser.add_argument("--variants", nargs="*", default=None, help="trained domains only")
    parser.add_argument("--folds", nargs="*", default=["plain", "chosen"])
    chosen = parser.parse_args()
    print(heading(f"python benchmarks/tokenizer_quality.py CORPUS QWEN --rows {chosen.rows}"))
    bench = Bench(chosen.corpus, chosen.qwen, chosen.rows)
    for name in variants(chosen.rows) if chosen.variants is None else chosen.variants:
        started = time.perf_counter()
        values = bench.seen(bench.learn(name))
        seconds = time.perf_counter() - started
        print(f"{name}: {macro(values):.2f} % saved, {seconds:.0f} s ({shown(values)})", flush=True)
    for name in chosen.folds:
        values = bench.left_out(name)
        print(f"{name}, left out: {macro(values):.2f} % saved ({shown(values)})", flush=True)


if __name__ == "__main__":
    main()
