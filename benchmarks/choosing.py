"""Claim: what chat draws by takes a seventh of the time of transformers' warpers and torch's draw.

    python benchmarks/choosing.py [--rows 32000] [--tokens 300]

One token of random logits, on one thread: dilmaç's chooser beside `LogitsProcessorList` with
transformers' warpers, softmax and `torch.multinomial`, which is what `model.generate` does. Both
take turns; medians. That both leave the same rows is tests/engines/test_choosing.py.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from dilmac.engines import Sampling
from dilmac.engines.choosing import Chooser
from support.measuring import heading
from support.tables import print_table

PROMPT = 128  # tokens that a penalty looks at
SETTINGS: dict[str, dict[str, float]] = {
    "greedy": {"temperature": 0},
    "top k 40, top p 0.95 (chat)": {},
    "the same, penalty 1.1 (chat)": {"repetition_penalty": 1.1},
    "top p 0.95": {"top_k": 0},
    "temperature alone": {"top_k": 0, "top_p": 1.0},
}


def peer(sampling: Sampling, ids: torch.Tensor) -> Callable[[torch.Tensor], int]:
    """What `generate` does with the logits [1, rows] of a step."""
    warpers = LogitsProcessorList()
    if sampling.repetition_penalty > 1:
        warpers.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.temperature == 0:
        return lambda logits: int(warpers(ids, logits).argmax())
    warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return lambda logits: int(torch.multinomial(torch.softmax(warpers(ids, logits), -1), 1))


def microseconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1e6 * (time.perf_counter() - started)


def measure(sampling: Sampling, rows: int, tokens: int) -> tuple[float, float]:
    """Medians of ours and theirs [microseconds a token]."""
    drawn = np.random.default_rng(42)
    prompt = drawn.integers(0, rows, PROMPT)
    chooser = Chooser(sampling, np.array([], np.int64), prompt.tolist())
    theirs = peer(sampling, torch.from_numpy(prompt)[None])
    found = []
    for _ in range(tokens):
        logits = (3 * drawn.standard_normal(rows)).astype(np.float32)
        tensor = torch.from_numpy(logits.copy())[None]
        pair = [lambda x=logits: chooser(x), lambda x=tensor: theirs(x)]
        found.append([microseconds(run) for run in pair])
    ours, others = zip(*found[len(found) // 10 :], strict=True)  # without the first
    return statistics.median(ours), statistics.median(others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=32_000)
    parser.add_argument("--tokens", type=int, default=300)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(heading(f"python benchmarks/choosing.py --rows {chosen.rows}"))
    rows = []
    with torch.inference_mode():
        for name, changes in SETTINGS.items():
            sampling = Sampling.model_validate({"logprobs": False, **changes})
            ours, theirs = measure(sampling, chosen.rows, chosen.tokens)
            rows.append([name, ours, theirs, ours / theirs])
    print_table(["setting", "ours, µs", "transformers, µs", "ours to theirs"], rows)


if __name__ == "__main__":
    main()
