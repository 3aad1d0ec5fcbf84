"""Claim: `TokenizerAdapter.adapt_tokens` takes under a millisecond for 500 characters.

    python benchmarks/adapter.py QWEN_FOLDER [TURKISH_FOLDER [TEXT…]]

Without a Turkish folder a tokenizer is trained on the bundled prose, and that is adapted. Both
directions, p50 and p99 in microseconds; beside them what it costs to encode the same text with the
tokenizer that is adapted to, which is what a caller who has the text would do. All ids are checked.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar
from unicodedata import normalize

import numpy as np

from dilmac.core import bundled_prose, read_measured_texts
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer import Tokenizer, TokenizerAdapter, TokenizerConfig, train_tokenizer
from support.measuring import heading

Given = TypeVar("Given")
Made = TypeVar("Made")

CHARACTERS = 500
NUM_TEXTS = 2000
NUM_LINES = 50_000


def main(qwen: str, turkish: str | None = None, *texts: str) -> None:
    patterns = texts or tuple(map(str, bundled_prose()))
    print(heading(f"python benchmarks/adapter.py {Path(qwen).name} {Path(turkish or '').name}"))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(turkish) if turkish else train(Path(folder))
        started = time.perf_counter()
        adapter = TokenizerAdapter(made, qwen)
        print(f"opened in {time.perf_counter() - started:.1f} s, by table: {adapter.by_table}")
        prose = normalize("NFC", "\n".join(islice(read_measured_texts(patterns), 20_000)))
        pair = Tokenizer(made), Tokenizer(Path(qwen))
        measure_texts(adapter, pair, prose)
        measure_lines(adapter, pair, prose)


def train(folder: Path) -> Path:
    inputs = tuple(map(str, bundled_prose()))
    corpus = build_corpus(CorpusConfig(inputs=inputs, out=folder / "corpus")).path
    config = TokenizerConfig(corpus=corpus, vocab_size="auto", out=folder / "tokenizer")
    return train_tokenizer(config).path


def measure_texts(adapter: TokenizerAdapter, pair: tuple[Tokenizer, Tokenizer], prose: str) -> None:
    starts = range(0, len(prose) - CHARACTERS, CHARACTERS)
    texts = [prose[start : start + CHARACTERS] for start in starts[:NUM_TEXTS]]
    print(f"{len(texts):,} texts of {CHARACTERS} characters")
    measure_way(adapter.adapt_tokens, *pair, texts)
    measure_way(partial(adapter.adapt_tokens, reverse=True), *pair[::-1], texts)
    print(f"align: {spread([timed(adapter.align, text) for text in texts])}")
    prepare = [timed(adapter.prepare_input_for_model, text) for text in texts]
    again = [timed(adapter.prepare_input_for_model, texts[-1]) for _ in texts]
    print(f"prepare_input_for_model: {spread(prepare)}; the same text again: {spread(again)}")


def measure_way(
    adapt: Callable[[list[int]], list[int]], start: Tokenizer, end: Tokenizer, texts: list[str]
) -> None:
    adapted = [timed(adapt, start.encode(text)) for text in texts]
    encoded = [timed(end.encode, text) for text in texts]
    assert [ids for _, ids in adapted] == [ids for _, ids in encoded]
    print(
        f"{start.folder.name} → {end.folder.name}: {spread(adapted)}; "
        f"encoding the text itself: {spread(encoded)}"
    )


def measure_lines(adapter: TokenizerAdapter, pair: tuple[Tokenizer, Tokenizer], prose: str) -> None:
    lines = list(islice(filter(None, prose.split("\n")), NUM_LINES))
    ids = [pair[0].encode(line) for line in lines]
    seconds, adapted = timed(lambda rows: list(map(adapter.adapt_tokens, rows)), ids)
    assert adapted == [pair[1].encode(line) for line in lines]
    print(f"{len(lines):,} lines: {len(lines) / seconds:,.0f} lines/s")


def timed(work: Callable[[Given], Made], given: Given) -> tuple[float, Made]:
    started = time.perf_counter()
    result = work(given)
    return time.perf_counter() - started, result


def spread(timings: Sequence[tuple[float, object]]) -> str:
    p50, p99 = np.percentile([1e6 * seconds for seconds, _ in timings], [50, 99])
    return f"p50 {p50:,.0f} µs, p99 {p99:,.0f} µs"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
