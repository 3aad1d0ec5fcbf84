"""Claim: cross-word pieces, marks and weighed sources save more of Qwen3's tokens, also on text of
domains that the training never saw.

    python benchmarks/tokenizer_quality.py CORPUS QWEN [--rows 32000] [--folds plain chosen …]

CORPUS is a corpus artifact whose documents name their domain as `source`; QWEN is a folder with
Qwen3's tokenizer. Of each variant: saved tokens on held-out documents of the trained domains, and,
leaving one domain out at a time, on that domain; macro averages over domains.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentencepiece

from dilmac.core import num_cpus, read_documents
from dilmac.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from dilmac.tokenizer.special import REQUIRED_CHARACTERS
from dilmac.tokenizer.train import FIXED
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
MAX_BYTES_A_DOMAIN = 1_500_000  # of a domain that is left out


def variants(rows: int) -> dict[str, dict[str, Any]]:
    """What is compared: settings of `dilmac tokenizer train`, beside plain SentencePiece."""
    quarter = {"superwords": rows // 4}
    even = {"balance": 0.0, "max_weight": 100.0}
    return {
        "plain": {},  # trained by SentencePiece itself, see `train_plain`
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


class Texts:
    """Texts by domain, with the tokens that Qwen3 makes of each domain's."""

    def __init__(self, corpus: Path, qwen: Path):
        self.heldout: dict[str, list[str]] = defaultdict(list)
        self.unseen: dict[str, list[str]] = defaultdict(list)
        self.sources: dict[str, set[str]] = defaultdict(set)
        sizes: dict[str, int] = defaultdict(int)
        for split in ("heldout", "train"):
            for document in read_documents(corpus, split):
                domain, text = domain_of(document["source"]), document["text"]
                self.sources[domain].add(document["source"])
                if split == "heldout":
                    self.heldout[domain].append(text)
                if sizes[domain] < MAX_BYTES_A_DOMAIN:
                    sizes[domain] += len(text.encode())
                    self.unseen[domain].append(text)
        tokenizer = Tokenizer(qwen)
        self.qwen_heldout = {name: count(tokenizer, texts) for name, texts in self.heldout.items()}
        self.qwen_unseen = {name: count(tokenizer, texts) for name, texts in self.unseen.items()}


def count(tokenizer: Tokenizer, texts: list[str]) -> int:
    return sum(len(ids) for ids in tokenizer.encode_arrays(texts))


def train_plain(corpus: Path, left_out: set[str], rows: int) -> bytes:
    """SentencePiece's own training with DESIGN.md's settings on every line of the text."""

    def lines() -> Iterator[str]:
        for document in read_documents(corpus, "train"):
            if document["source"] not in left_out:
                yield from (line[:4000] for line in document["text"].split("\n") if line)

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines(),
        model_writer=model,
        model_type="bpe",
        vocab_size=rows,
        character_coverage=0.9995,
        required_chars=REQUIRED_CHARACTERS,
        split_digits=True,
        max_sentencepiece_length=24,
        num_threads=num_cpus(),
        **FIXED,
    )
    return model.getvalue()


def saved(model: bytes, texts: dict[str, list[str]], qwen: dict[str, int]) -> dict[str, float]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    result = {}
    for domain in sorted(texts):
        encoded = processor.encode(texts[domain], num_threads=num_cpus())
        result[domain] = 100 * (1 - sum(map(len, encoded)) / qwen[domain])
    return result


def train(corpus: Path, settings: dict[str, Any], left_out: set[str], rows: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        config = TokenizerConfig(
            corpus=corpus,
            vocab_size=rows,
            source_weights=dict.fromkeys(left_out, 0.0),
            out=Path(folder) / "tokenizer",
            **settings,
        )
        return (train_tokenizer(config).path / "tokenizer.model").read_bytes()


def learn(name: str, corpus: Path, left_out: set[str], rows: int) -> bytes:
    if name == "plain":
        return train_plain(corpus, left_out, rows)
    return train(corpus, variants(rows)[name], left_out, rows)


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
    texts = Texts(chosen.corpus, chosen.qwen)
    for name in variants(chosen.rows) if chosen.variants is None else chosen.variants:
        started = time.perf_counter()
        model = learn(name, chosen.corpus, set(), chosen.rows)
        values = saved(model, texts.heldout, texts.qwen_heldout)
        seconds = time.perf_counter() - started
        print(f"{name}: {macro(values):.2f} % saved, {seconds:.0f} s ({shown(values)})", flush=True)
    for name in chosen.folds:
        unseen = {}
        for domain, sources in texts.sources.items():
            model = learn(name, chosen.corpus, sources, chosen.rows)
            only = {domain: texts.unseen[domain]}
            unseen |= saved(model, only, texts.qwen_unseen)
        print(f"{name}, left out: {macro(unseen):.2f} % saved ({shown(unseen)})", flush=True)


if __name__ == "__main__":
    main()
