"""Claim: `Tokenizer.encode_arrays` encodes at least 5 times as fast as SentencePiece and HF fast
where pieces stay inside words, 2.5 times where they cross words.

    python benchmarks/encode.py [--tokenizer DIR]… [TEXT…]

Without `--tokenizer` one is trained on the texts; without a text the bundled prose is repeated up
to 20 MB. Give 50 MB or more of your own: ours is quick with words that it has met before.

All three encode the same documents with the same vocabulary in one run, on all cores, each in the
quickest way that its library offers; ids are checked to be equal. The best of three passes counts.
Loading is not timed. The peers' lists of ids are theirs to make: SentencePiece returns them, HF's
`Encoding`s are not even asked for their ids.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "true"

import numpy as np
import sentencepiece
import tokenizers
import xxhash

from dilmac.core import bundled_prose, num_cpus, read_measured_texts
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer import SPACE_MARK, Tokenizer, TokenizerConfig, read_pieces, train_tokenizer
from support.measuring import heading

MIN_BYTES = 20_000_000
MAX_BYTES = 100_000_000
PASSES = 3
PEER_TEXTS = 2000  # given to a peer at once: HF's Encodings of 100 MB would fill gigabytes

Rows = list[Any]  # ids of each text
Encode = Callable[[list[str]], Rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokenizer", type=Path, action="append", help="tokenizer folder")
    parser.add_argument("texts", nargs="*", help="text to encode; the bundled prose by default")
    flags = parser.parse_args()
    inputs = tuple(flags.texts or map(str, bundled_prose()))
    texts = [
        text.replace(SPACE_MARK, "_")  # the peers read it as a space
        for text in read_measured_texts(inputs, max_bytes=MAX_BYTES)
    ]
    texts *= max(1, MIN_BYTES // sum(len(text.encode()) for text in texts))
    print(heading("python benchmarks/encode.py " + " ".join(Path(name).name for name in inputs)))
    with tempfile.TemporaryDirectory() as folder:
        for tokenizer in flags.tokenizer or [train(inputs, Path(folder))]:
            compare(tokenizer, texts)


def train(inputs: tuple[str, ...], folder: Path) -> Path:
    corpus = build_corpus(CorpusConfig(inputs=inputs, out=folder / "corpus")).path
    config = TokenizerConfig(corpus=corpus, vocab_size="auto", out=folder / "tokenizer")
    return train_tokenizer(config).path


def compare(folder: Path, texts: list[str]) -> None:
    """Print the speed of the three with one vocabulary."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    pieces = read_pieces(folder / "tokenizer.model")
    crossing = sum(SPACE_MARK in piece.text.strip(SPACE_MARK) for piece in pieces)
    print(f"{folder.name}: {len(pieces):,} rows, {crossing:,} cross words; {megabytes:.1f} MB")
    ours = Tokenizer(folder)
    list(ours.encode_arrays(["to load what is loaded when it is first used"]))
    piece = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    fast.encode_special_tokens = True
    results = {
        "dilmac": best_pass(lambda some: list(ours.encode_arrays(some)), texts, len(texts)),
        "SentencePiece": best_pass(
            lambda some: piece.encode(some, num_threads=num_cpus()), texts, PEER_TEXTS
        ),
        "HF fast": best_pass(
            lambda some: fast.encode_batch_fast(some, add_special_tokens=False), texts, PEER_TEXTS
        ),
    }
    first, expected = results["dilmac"]
    for name, (seconds, digest) in results.items():
        assert digest == expected, f"{name} gives other ids"
        speed = megabytes / seconds
        print(f"{name}: {speed:.1f} MB/s, dilmac is {seconds / first:.2f} times as fast")


def best_pass(encode: Encode, texts: list[str], texts_at_once: int) -> tuple[float, int]:
    """Seconds of the best pass over all texts, and a digest of their ids."""
    times = []
    for _ in range(PASSES):
        seconds = 0.0
        digest = xxhash.xxh3_64()
        for start in range(0, len(texts), texts_at_once):
            some = texts[start : start + texts_at_once]
            started = time.perf_counter()
            rows = encode(some)
            seconds += time.perf_counter() - started
            for row in rows:
                ids = np.asarray(getattr(row, "ids", row), np.uint32)
                digest.update(len(ids).to_bytes(4, "little") + ids.tobytes())
        times.append(seconds)
    return min(times), digest.intdigest()


if __name__ == "__main__":
    main()
