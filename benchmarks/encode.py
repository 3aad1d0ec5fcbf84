"""Claim: `Tokenizer.encode_stream` encodes several times faster than SentencePiece and HF fast.

    python benchmarks/encode.py [TEXT…]          (the bundled prose, repeated, by default)

All three encode the same texts with the same vocabulary in one run, on all cores; ids are checked
to be equal. The best of three passes counts.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "true"

import sentencepiece
import tokenizers

from dilmac.core import bundled_prose, num_cpus, read_measured_texts
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from support.measuring import heading

TARGET_BYTES = 20_000_000


def best_of_three(encode: Callable[[], list[list[int]]]) -> tuple[float, list[list[int]]]:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        ids = encode()
        times.append(time.perf_counter() - started)
    return min(times), ids


def main(patterns: list[str]) -> None:
    inputs = tuple(patterns or map(str, bundled_prose()))
    texts = list(read_measured_texts(inputs, max_bytes=TARGET_BYTES))
    size = sum(len(text.encode()) for text in texts)
    texts *= max(1, TARGET_BYTES // size)
    with tempfile.TemporaryDirectory() as folder:
        measure(train(inputs, Path(folder)), texts, patterns)


def train(inputs: tuple[str, ...], folder: Path) -> Path:
    corpus = build_corpus(CorpusConfig(inputs=inputs, out=folder / "corpus")).path
    config = TokenizerConfig(corpus=corpus, vocab_size="auto", out=folder / "tokenizer")
    return train_tokenizer(config).path


def measure(made: Path, texts: list[str], patterns: list[str]) -> None:
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    ours = Tokenizer(made)
    piece = sentencepiece.SentencePieceProcessor(model_file=str(made / "tokenizer.model"))
    fast = tokenizers.Tokenizer.from_file(str(made / "tokenizer.json"))
    fast.encode_special_tokens = True
    peers: dict[str, Callable[[], list[list[int]]]] = {
        "dilmac encode_stream": lambda: list(ours.encode_stream(texts)),
        "SentencePiece": lambda: piece.encode(texts, num_threads=num_cpus()),
        "HF fast": lambda: [row.ids for row in fast.encode_batch(texts)],
    }
    print(heading("python benchmarks/encode.py " + " ".join(Path(p).name for p in patterns)))
    results = {name: best_of_three(encode) for name, encode in peers.items()}
    expected = results["SentencePiece"][1]
    first = results["dilmac encode_stream"][0]
    print(f"{len(ours):,} rows, {megabytes:.1f} MB")
    for name, (seconds, ids) in results.items():
        assert ids == expected, f"{name} gives other ids"
        print(
            f"{name}: {megabytes / seconds:.1f} MB/s, dilmac is {seconds / first:.2f} times as fast"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
