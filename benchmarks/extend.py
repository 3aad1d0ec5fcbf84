"""Claim: Qwen's tokenizer, continued on Turkish words, saves 39 % of its tokens with 32,000 rows
more and leaves English and code as they were; of its old rows a third is enough.

    python benchmarks/extend.py --corpus DIR --base DIR [--leave-out] [--keep]

DIR holds `tr-*.jsonl.zst`, `en-sample.jsonl.zst` and `code-sample.jsonl.zst`. The Turkish files are
cleaned by `dilmac corpus build`; a file is a domain (machine translations belong to the domain of
their name and are learnt from only). Every twentieth document of each domain is held out. `seen`:
macro over the domains, saved of the base's tokens. `unseen` (`--leave-out`): each domain measured
with rows that were learnt without it. `--keep`: old rows pruned by their use in the training text
and half of the English and code; the other half is measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import tokenizers

from dilmac.core import read_documents, read_measured_texts
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer.extend.base import Base, Pair, read_base
from dilmac.tokenizer.extend.measure import count_rows
from dilmac.tokenizer.extend.merges import learn_merges
from dilmac.tokenizer.extend.prune import rows_to_keep
from dilmac.tokenizer.extend.words import (
    Word,
    words_of,
)
from dilmac.tokenizer.extend.write import extended_spec
from dilmac.tokenizer.sample import weights_of
from dilmac.tokenizer.words import count_words
from support.measuring import heading

HOLD_OUT_EVERY = 20
ROWS = (8_000, 16_000, 32_000, 48_000, 64_000)
BALANCES = (1.0, 0.5, 0.0)
MAX_WEIGHT = 100.0
CHOSEN = 0.0
KEPT = (100_000, 64_000, 48_000, 40_000, 32_000, 24_000)
LEFT_OUT_ROWS = (32_000, 64_000)
Texts = dict[str, list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--base", type=Path, default=Path("../shared/tokenizers/qwen3"))
    parser.add_argument("--built", type=Path, help="corpus artifact, built before and kept")
    parser.add_argument("--leave-out", action="store_true")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    if not (arguments.corpus / "tr-law.jsonl.zst").is_file():
        print("needs the development data: --corpus DIR --base DIR")
        return
    print(heading("python benchmarks/extend.py --corpus DIR --base DIR"))
    bench = Bench(read_base(arguments.base), arguments.corpus, arguments.built)
    bench.balances()
    if arguments.leave_out:
        bench.unseen()
    if arguments.keep:
        bench.kept()


def domain_of(source: str) -> str:
    """`tr-technical-mt.jsonl.zst`, `tr-technical-2.jsonl.zst` → `technical`."""
    return source.removeprefix("tr-").split(".")[0].removesuffix("-mt").removesuffix("-2")


class Bench:
    """The text, divided, and the words of each domain's training text."""

    def __init__(self, base: Base, folder: Path, built: Path | None):
        self.base = base
        self.heldout: Texts = defaultdict(list)
        train: dict[str, list[dict[str, str]]] = defaultdict(list)
        with tempfile.TemporaryDirectory() as scratch:
            corpus = build_corpus(
                CorpusConfig(
                    inputs=tuple(
                        str(path)
                        for path in sorted(folder.glob("tr-*.jsonl.zst"))
                        if "messy" not in path.name
                    ),
                    holdout_percent=0,
                    out=built or Path(scratch) / "corpus",
                )
            )
            for document in read_documents(corpus.path, "train"):
                domain = domain_of(document["source"])
                is_mt = "-mt" in document["source"]
                place = len(train[domain]) + len(self.heldout[domain])
                if is_mt or place % HOLD_OUT_EVERY != HOLD_OUT_EVERY - 1:
                    train[domain].append(document | {"source": domain})
                else:
                    self.heldout[domain].append(document["text"])
        started = time.monotonic()
        self.words: dict[str, dict[Word, int]] = {
            domain: words_of(base, count_words((document["text"], 1.0) for document in documents))
            for domain, documents in sorted(train.items())
        }
        print(f"words of {len(self.words)} domains: {time.monotonic() - started:.1f} s")
        sizes = {
            domain: sum(len(document["text"].encode()) for document in documents)
            for domain, documents in train.items()
        }
        self.weights = {balance: weights_of(sizes, balance, MAX_WEIGHT) for balance in BALANCES}
        self.sample = [document["text"] for each in train.values() for document in each[::8]]
        self.others = {
            name: list(read_measured_texts([folder / f"{name}-sample.jsonl.zst"]))
            for name in ("en", "code")
        }
        self.base_tokens = {
            name: num_tokens(base.fast, texts)
            for name, texts in [*self.heldout.items(), *self.others.items()]
        }

    def learn(self, balance: float, rows: int, without: str | None = None) -> list[Pair]:
        """Merges of all domains but one, each weighed by its bytes."""
        mixed: dict[Word, int] = defaultdict(int)
        for domain, words in self.words.items():
            weight = self.weights[balance][domain]
            for word, count in words.items() if domain != without else ():
                mixed[word] += round(count * weight)
        return learn_merges(mixed, self.base.names, rows)

    def fast(self, learnt: list[Pair], kept: list[int] | None = None) -> tokenizers.Tokenizer:
        kept = list(range(len(self.base.names))) if kept is None else kept
        fast = tokenizers.Tokenizer.from_str(json.dumps(extended_spec(self.base, learnt, kept)))
        fast.encode_special_tokens = True
        return fast

    def saved(self, fast: tokenizers.Tokenizer, domain: str) -> float:
        return 100 * (1 - num_tokens(fast, self.heldout[domain]) / self.base_tokens[domain])

    def macro(self, fast: tokenizers.Tokenizer) -> float:
        return sum(self.saved(fast, domain) for domain in self.heldout) / len(self.heldout)

    def changes(self, fast: tokenizers.Tokenizer) -> str:
        return " | ".join(
            f"{100 * (num_tokens(fast, texts) / self.base_tokens[name] - 1):+.2f}"
            for name, texts in self.others.items()
        )

    def balances(self) -> None:
        """Rows against tokens saved and memory, by balance."""
        print(
            "| balance | rows | seen, macro % | English % | code % | 0.6B tied MB | 8B untied MB |"
        )
        print("|---|---|---|---|---|---|---|")
        for balance in BALANCES:
            started = time.monotonic()
            learnt = self.learn(balance, ROWS[-1])
            seconds = time.monotonic() - started
            for rows in ROWS:
                fast = self.fast(learnt[:rows])
                memory = f"{rows * 1024 * 2 / 1e6:.0f} | {rows * 4096 * 2 * 2 / 1e6:.0f}"
                seen = f"{self.macro(fast):.2f} | {self.changes(fast)}"
                print(f"| {balance} | {rows:,} | {seen} | +{memory} |", flush=True)
                if balance == CHOSEN and rows in LEFT_OUT_ROWS:
                    each = {d: round(self.saved(fast, d), 1) for d in sorted(self.heldout)}
                    print(f"  {each}")
            print(f"  learnt in {seconds:.1f} s", flush=True)

    def unseen(self) -> None:
        """Every domain measured with rows learnt without it."""
        for balance in (1.0, CHOSEN):
            saved: dict[int, dict[str, float]] = {rows: {} for rows in LEFT_OUT_ROWS}
            for domain in sorted(self.heldout):
                learnt = self.learn(balance, LEFT_OUT_ROWS[-1], without=domain)
                for rows, by_domain in saved.items():
                    by_domain[domain] = round(self.saved(self.fast(learnt[:rows]), domain), 1)
            for rows, by_domain in saved.items():
                mean = sum(by_domain.values()) / len(by_domain)
                print(
                    f"unseen, balance {balance}, {rows:,} rows: {mean:.2f} {by_domain}", flush=True
                )

    def kept(self) -> None:
        """Old rows kept against what Turkish, English and code cost."""
        learnt = self.learn(CHOSEN, 32_000)
        whole = self.fast(learnt)
        use: dict[int, float] = defaultdict(float)
        chosen = [self.sample, *(texts[::2] for texts in self.others.values())]
        for texts in chosen:
            counts = count_rows(whole, ((text, 1.0) for text in texts))
            total = sum(counts.values())
            for row, count in counts.items():
                use[row] += count / total
        self.others = {name: texts[1::2] for name, texts in self.others.items()}
        for name, texts in self.others.items():
            self.base_tokens[name] = num_tokens(self.base.fast, texts)
        print("| old rows kept | rows in all | seen, macro % | English % | code % | 0.6B tied MB |")
        print("|---|---|---|---|---|---|")
        for keep in (len(self.base.names), *KEPT):
            rows = rows_to_keep(self.base, learnt, use, keep)
            fast = self.fast(learnt, rows)
            total = len(rows) + len(learnt)
            seen = f"{self.macro(fast):.2f} | {self.changes(fast)}"
            print(f"| {keep:,} | {total:,} | {seen} | {total * 1024 * 2 / 1e6:.0f} |", flush=True)


def num_tokens(fast: tokenizers.Tokenizer, texts: Iterable[str]) -> int:
    return sum(map(len, fast.encode_batch_fast(list(texts), add_special_tokens=False)))


if __name__ == "__main__":
    main()
