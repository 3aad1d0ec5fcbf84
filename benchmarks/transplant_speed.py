"""Claim: an extended model reads and writes 1.5 times as many Turkish characters in a second.

    python benchmarks/transplant_speed.py [--work DIR] [--pairs NAME=SOURCE=TRANSPLANTED ...]

By itself it makes a model of Qwen3-0.6B's shape (random weights: speed does not ask what they say)
with Qwen3's real tokenizer, lets `dilmac tokenizer extend` learn 32,000 rows, and transplants it,
there and to the shipped tr32k. `--pairs` measures others instead, such as those of the lab.

Reading: windows of 256 tokens, likelihoods and all. Writing: 16 tokens one after the other with a
cache, counted at the characters that a token of the text has. Text: Turkish files that the
extension was not learned from. Source and transplanted take turns, so what else runs on the machine
meets both; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from dilmac.core import read_records
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer, pretrained_path
from support.children import progress
from support.measuring import heading
from support.random_qwen import QWEN3_06B, make_checkpoint
from support.tables import print_json, print_table
from support.transplanters import extended_tokenizer, run_dilmac

WINDOW, NEW_TOKENS, ROUNDS = 256, 16, 3
GOAL = 1.5
NOT_SEEN = ("tr-encyclopedic", "tr-education", "tr-literature", "tr-reviews", "tr-treebank")
CHARACTERS = 60_000  # of each file, to say how many a token has


@dataclass
class Speaker:
    """A model with its tokenizer, ready to be timed."""

    name: str
    folder: Path

    def __post_init__(self) -> None:
        self.model = load_model(self.folder).float().eval()
        self.tokenizer = Tokenizer(self.folder)

    def characters_per_token(self, text: str) -> float:
        return len(text) / len(self.tokenizer.encode(text))

    def read(self, text: str) -> float:
        """Characters in a second of reading one window."""
        ids = self.tokenizer.encode(text)[:WINDOW]
        took = timed(lambda: self.model(torch.tensor([ids]), use_cache=False))
        return WINDOW * self.characters_per_token(text) / took

    def write(self, text: str) -> float:
        """Characters in a second of writing."""
        start = torch.tensor([self.tokenizer.encode(text)[:16]])
        limits: dict[str, Any] = {"min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS}
        took = timed(
            lambda: self.model.generate(
                start,
                attention_mask=torch.ones_like(start),
                do_sample=False,
                pad_token_id=0,
                **limits,
            )
        )
        return NEW_TOKENS * self.characters_per_token(text) / took


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    with torch.inference_mode():
        started = time.monotonic()
        work()
        return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--qwen", type=Path, default=Path("../shared/tokenizers/qwen3"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--pairs", nargs="+", help="NAME=SOURCE=TRANSPLANTED")
    chosen = parser.parse_args()
    text = unseen_text(chosen.corpus)
    print(heading("python benchmarks/transplant_speed.py"))
    with tempfile.TemporaryDirectory(dir=chosen.work) as scratch:
        pairs = given(chosen.pairs) if chosen.pairs else made(chosen, Path(scratch))
        rows = [compare(name, source, result, text) for name, source, result in pairs]
    heads = ("model", "characters a token", "of the source's", "read, characters/s", "ratio")
    print_table((*heads, "written, characters/s", "ratio", f"goal {GOAL}"), rows)
    print_json(rows)


def unseen_text(corpus: Path) -> str:
    """Turkish of five kinds."""
    parts = []
    for name in NOT_SEEN:
        records = islice(read_records([corpus / f"{name}.jsonl.zst"]), 200)
        parts.append("\n".join(str(record["text"]) for record in records)[:CHARACTERS])
    return "\n".join(parts)


def given(pairs: Iterable[str]) -> Iterable[tuple[str, Path, Path]]:
    for pair in pairs:
        name, source, result = pair.split("=")
        yield name, Path(source), Path(result)


def made(chosen: argparse.Namespace, scratch: Path) -> Iterable[tuple[str, Path, Path]]:
    """A model of 0.6B's shape, extended and replaced."""
    source = make_checkpoint(QWEN3_06B, chosen.qwen, scratch / "source")
    learned = sorted(chosen.corpus.glob("tr-*-2.jsonl.zst"))
    ways = {
        "0.6B, extended by 32,000": extended_tokenizer(scratch, chosen.qwen, learned),
        "0.6B, tr32k": pretrained_path("tr32k"),
    }
    for name, tokenizer in ways.items():
        out = scratch / name.replace(" ", "-")
        flags = ["--model", str(source), "--tokenizer", str(tokenizer), "--out", str(out)]
        run_dilmac(scratch, "transplant", *flags, "--init", "length_weighted")
        yield name, source, out


def compare(name: str, source: Path, result: Path, text: str) -> list[Any]:
    """Both in turns, after a round that does not count."""
    before, after = Speaker("source", source), Speaker(name, result)
    step = len(text) // (ROUNDS + 1)
    rounds = []
    for number in range(ROUNDS + 1):
        part = text[number * step : (number + 1) * step]
        old, new = (before.read(part), before.write(part)), (after.read(part), after.write(part))
        rounds.append([new[0], new[0] / old[0], new[1], new[1] / old[1]])
        progress(f"{name}, round {number}: {rounds[-1]}")
    found = [statistics.median(column) for column in zip(*rounds[1:], strict=True)]
    density = after.characters_per_token(text)
    of_source = density / before.characters_per_token(text)
    return [name, density, of_source, *found, min(found[1], found[3]) >= GOAL]


if __name__ == "__main__":
    main()
