"""Claim: the second pass takes a minute or two, not a quarter of an hour, and memory does not grow
with the corpus. How long the whole takes beside SentencePiece and Hugging Face is shown.

    python benchmarks/tokenizer_train.py CORPUS [--megabytes 70 200] [--stream-gigabytes 5]

CORPUS is a corpus artifact. Each trainer runs alone in a process of its own on the same text, with
32,000 rows; time and peak memory are the process's. What the corpus lacks is made of passes
over it, each with other words (a tenth of them get an ending of letters that names the pass).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from dilmac.core import StageConfig, building, num_cpus, read_documents
from dilmac.core.shards import ShardWriter
from dilmac.tokenizer import TokenizerConfig, train_tokenizer
from dilmac.tokenizer.special import REQUIRED_CHARACTERS
from dilmac.tokenizer.train import FIXED
from support.measuring import heading

ROWS = 32_000
TRAINERS = ("dilmac", "dilmac superwords", "SentencePiece", "HF")


def passes(corpus: Path, num_bytes: int) -> Iterator[dict[str, str]]:
    """Documents of the corpus, again and again, until there are `num_bytes` of text."""
    for number in count():
        ending = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        for document in read_documents(corpus, "train"):
            text = document["text"]
            if number:
                words = text.split(" ")
                words[::10] = [word + ending for word in words[::10]]
                text = " ".join(words)
            num_bytes -= len(text.encode())
            if num_bytes < 0:
                return
            yield {"id": f"{number}-{document['id']}", "text": text, "source": document["source"]}


class GrownConfig(StageConfig):
    """A corpus that is grown for the benchmark."""


def grow(corpus: Path, num_bytes: int, out: Path) -> Path:
    with building("corpus", GrownConfig(out=out), {"corpus": [corpus]}) as build:
        writer = ShardWriter(build.path, "train", 256 << 20)
        for document in passes(corpus, num_bytes):
            writer.write(document)
        writer.close()
        build.finish({"text_bytes_kept": num_bytes, "text_bytes_heldout": 0})
    return out


def run(trainer: str, corpus: Path, out: Path) -> None:
    """Train in this process."""
    lines = (
        line[:4000]
        for document in read_documents(corpus, "train")
        for line in document["text"].split("\n")
        if line
    )
    if trainer.startswith("dilmac"):
        superwords = ROWS // 4 if "superwords" in trainer else 0
        train_tokenizer(
            TokenizerConfig(corpus=corpus, vocab_size=ROWS, superwords=superwords, out=out)
        )
    elif trainer == "SentencePiece":
        import sentencepiece

        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_prefix=str(out),
            model_type="bpe",
            vocab_size=ROWS,
            character_coverage=0.9995,
            required_chars=REQUIRED_CHARACTERS,
            split_digits=True,
            max_sentencepiece_length=24,
            num_threads=num_cpus(),
            **FIXED,
        )
    else:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        fast = Tokenizer(models.BPE())
        fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        fast.train_from_iterator(
            lines,
            trainers.BpeTrainer(vocab_size=ROWS, initial_alphabet=alphabet, show_progress=False),
        )


def measured(trainer: str, corpus: Path, folder: Path) -> tuple[float, float]:
    """Seconds and peak gigabytes of a process of its own."""
    command = [sys.executable, __file__, str(corpus), "--run", trainer, "--out"]
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(folder / trainer.replace(" ", "-"))], stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{trainer} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--megabytes", type=int, nargs="*", default=[70, 200])
    parser.add_argument("--stream-gigabytes", type=float, default=0)
    parser.add_argument("--run", choices=TRAINERS)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.run:
        run(chosen.run, chosen.corpus, chosen.out)
        return
    print(heading("python benchmarks/tokenizer_train.py CORPUS"))
    sizes = [(size, TRAINERS) for size in chosen.megabytes]
    if chosen.stream_gigabytes:
        sizes.append((round(1000 * chosen.stream_gigabytes), TRAINERS[1:2]))
    for megabytes, trainers in sizes:
        with tempfile.TemporaryDirectory() as name:
            corpus = grow(chosen.corpus, megabytes * 1_000_000, Path(name) / "corpus")
            for trainer in trainers:
                seconds, gigabytes = measured(trainer, corpus, Path(name))
                print(f"{megabytes} MB, {trainer}: {seconds:.1f} s, {gigabytes:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
