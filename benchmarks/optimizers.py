"""Claim: Muon + AdamW reaches AdamW's final held-out bits per byte with at most 75 % of its tokens.

    python benchmarks/optimizers.py [--corpus DIR] [--tokenizer DIR] [--tokens 400k] [--work DIR]

Both are tuned with the same budget: the same learning rates, at least five, a whole run each; where
one's best is at an end of the grid, the grid grows at that end for both, until both lie inside.
Then three seeds at the best rate of each: AdamW at the whole budget, Muon at shares of it, every
share a run of its own with its whole schedule (a run stopped on the way has not cooled down). The
answer is the smallest share, from which on no larger one fails, whose mean final bits per byte are
at most AdamW's mean; also by linear interpolation between shares, per seed, and, as a side light,
where the curve of Muon's whole run (`--evals` measurements on less text) crosses AdamW's end. It
drives `dilmac.training.pretrain`; what comes out is opened with AutoModelForCausalLM.

Without `--corpus` one is built of some of `../shared/corpus` where that is, else of the bundled
sample (too small for figures: many passes). Finished runs are kept in `--work`, an interrupted one
goes on. About 25 minutes on two idle cores with the sizes by default (32 runs, as much training as
26 whole ones; ten million tokens in all); `--smoke` is a rehearsal. More tokens say more.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilmac.core import read_events
from dilmac.training import PretrainConfig, pretrain
from dilmac.training.budget import parse_count
from support.children import progress
from support.material import corpus_for, tokenizer_for
from support.measuring import heading
from support.plain_llama import check_plain_llama
from support.tables import print_json, print_table

BAR, GOAL = 0.75, 0.65
OPTIMIZERS = ("adamw", "muon")
NAMES = {"adamw": "AdamW", "muon": "Muon + AdamW"}
SHARED = Path("../shared/corpus")
# A few domains, 22 MB: more text than a run reads.
SHARED_FILES = (
    "tr-blog.jsonl.zst",
    "tr-education.jsonl.zst",
    "tr-encyclopedic.jsonl.zst",
    "tr-encyclopedic-2.jsonl.zst",
    "tr-reviews.jsonl.zst",
    "tr-stories-2.jsonl.zst",
    "tr-technical.jsonl.zst",
)
MAX_RATES = 12  # of the grid when it grows: past this something else is wrong
Loss = Callable[[str, float], float]


@dataclass
class Bench:
    """Runs by optimizer, learning rate, share of the tokens and seed; finished ones are kept."""

    chosen: argparse.Namespace
    corpus: Path
    tokenizer: Path

    def final(self, name: str, rate: float, share: float, seed: int) -> float:
        """Final held-out bits per byte of a run."""
        figures = self.run(name, rate, share, seed).figures
        bits = figures["heldout_bits_per_byte"]
        if bits is None:
            raise SystemExit(f"{self.corpus}: nothing is held out in it")
        progress(
            f"{NAMES[name]}, rate {rate:g}, {share:.0%} of the tokens, seed {seed}: "
            f"{bits:.4f} bits per byte"
        )
        return float(bits)

    def run(self, name: str, rate: float, share: float, seed: int) -> Any:
        """The artifact of a run, made now or before."""
        return pretrain(self.config(name, rate, share, seed))

    def config(self, name: str, rate: float, share: float, seed: int) -> PretrainConfig:
        chosen = self.chosen
        steps = max(1, round(chosen.tokens * share / chosen.batch_tokens))
        out = f"{name}-{rate:g}-{100 * share:g}-{seed}"
        return PretrainConfig(
            corpus=self.corpus,
            tokenizer=self.tokenizer,
            tokens_folder=chosen.work / "tokens",
            out=chosen.work / "runs" / out,
            preset=chosen.preset,
            context=chosen.context,
            tokens=steps * chosen.batch_tokens,
            batch_tokens=chosen.batch_tokens,
            optimizer=name,  # type: ignore[arg-type]
            learning_rate=rate,
            schedule=chosen.schedule,
            eval_steps=max(1, steps // chosen.evals),
            checkpoint_steps=max(1, steps // 3),
            compile=chosen.compile,
            save_precision="bf16",
            sample_prompts=(),
            seed=seed,
        )

    def curve(self, name: str, rate: float, seed: int) -> list[tuple[int, float]]:
        """Held-out bits per byte on the way: tokens and value, the end included."""
        path = self.config(name, rate, 1.0, seed).out / "events.jsonl"
        return [
            (int(event["tokens"]), float(event["bits_per_byte"]))
            for event in read_events(path)
            if event["event"] == "heldout"
        ]


# ---- tuning


def tune(loss: Loss, rates: Sequence[float], factor: float) -> dict[str, dict[float, float]]:
    """Loss by optimizer and rate; the grid grows for both until both have their best inside."""
    found: dict[str, dict[float, float]] = {name: {} for name in OPTIMIZERS}
    wanted = sorted(rates)
    while True:
        for name in OPTIMIZERS:
            for rate in wanted:
                if rate not in found[name]:
                    found[name][rate] = loss(name, rate)
        ends = {best_rate(values) for values in found.values()}
        lower, upper = wanted[0] in ends, wanted[-1] in ends
        if not lower and not upper:
            return found
        if len(wanted) >= MAX_RATES:
            raise SystemExit(f"no best learning rate inside {wanted[0]:g} to {wanted[-1]:g}")
        below = [float(f"{wanted[0] / factor:.3g}")] if lower else []
        above = [float(f"{wanted[-1] * factor:.3g}")] if upper else []
        wanted = [*below, *wanted, *above]
        progress(f"the best is at an end: the grid grows to {wanted[0]:g} … {wanted[-1]:g}")


def best_rate(values: dict[float, float]) -> float:
    return min(values, key=lambda rate: values[rate])


# ---- the answer


def smallest_share(finals: dict[float, float], target: float) -> float | None:
    """The smallest share that reaches the target and after which every larger one does."""
    reached = None
    for share in sorted(finals, reverse=True):
        if finals[share] > target:
            break
        reached = share
    return reached


def crossing(points: Sequence[tuple[float, float]], target: float) -> float | None:
    """Where a falling curve last comes down to the target, between two points by a line.

    None where its end is above; the first point where all lie below (no more is known).
    """
    ordered = sorted(points)
    if not ordered or ordered[-1][1] > target:
        return None
    for (left, high), (right, low) in zip(reversed(ordered[:-1]), reversed(ordered), strict=False):
        if high > target:
            return left + (right - left) * (high - target) / (high - low)
    return ordered[0][0]


@dataclass(frozen=True)
class Answer:
    """What the seeds say, at the best rate of each."""

    rates: dict[str, float]
    adamw: dict[int, float]  # by seed
    muon: dict[float, dict[int, float]]  # by share and seed
    on_the_curve: dict[int, float | None]  # by seed

    @property
    def target(self) -> float:
        return statistics.fmean(self.adamw.values())

    @property
    def means(self) -> dict[float, float]:
        return {share: statistics.fmean(each.values()) for share, each in self.muon.items()}

    def per_seed(self) -> dict[int, float | None]:
        """The share, by interpolation, at which Muon reaches AdamW's end with the same seed."""
        return {
            seed: crossing([(share, each[seed]) for share, each in self.muon.items()], bits)
            for seed, bits in self.adamw.items()
        }


def compare(bench: Bench, rates: dict[str, float]) -> Answer:
    chosen = bench.chosen
    seeds = list(range(42, 42 + chosen.seeds))
    adamw = {seed: bench.final("adamw", rates["adamw"], 1.0, seed) for seed in seeds}
    muon = {
        share: {seed: bench.final("muon", rates["muon"], share, seed) for seed in seeds}
        for share in sorted((percent / 100 for percent in chosen.shares), reverse=True)
    }
    on_the_curve: dict[int, float | None] = {}
    for seed in seeds:
        end_tokens, end_bits = bench.curve("adamw", rates["adamw"], seed)[-1]
        place = crossing(bench.curve("muon", rates["muon"], seed), end_bits)
        on_the_curve[seed] = None if place is None else place / end_tokens
    return Answer(rates, adamw, muon, on_the_curve)


# ---- the report


def report(bench: Bench, grid: dict[str, dict[float, float]], answer: Answer) -> None:
    chosen = bench.chosen
    figures = bench.run("adamw", answer.rates["adamw"], 1.0, 42).figures
    print(
        f"{chosen.preset}, {figures['parameters']:,} parameters, {figures['tokens_trained']:,} "
        f"tokens ({figures['epochs']:.2f} passes), steps of {chosen.batch_tokens:,} tokens, "
        f"{chosen.schedule}, {figures['precision']}"
    )
    rates = sorted(grid["adamw"])
    print_table(
        ("highest learning rate, one seed", *(f"{rate:g}" for rate in rates)),
        [(NAMES[name], *(f"{grid[name][rate]:.4f}" for rate in rates)) for name in OPTIMIZERS],
    )
    seeds = list(answer.adamw)
    rows = [_row(NAMES["adamw"], 1.0, answer.adamw, answer)]
    rows += [_row(NAMES["muon"], share, each, answer) for share, each in answer.muon.items()]
    print_table(
        (
            "final held-out bits per byte",
            "tokens",
            *(f"seed {s}" for s in seeds),
            "mean",
            "reached",
        ),
        rows,
    )
    share = smallest_share(answer.means, answer.target)
    line = crossing(list(answer.means.items()), answer.target)
    print(
        f"Muon + AdamW needs {_percent(share)} of AdamW's tokens (bar {BAR:.0%}, goal {GOAL:.0%})"
    )
    least = min(answer.muon)
    print(
        f"interpolated between shares: {_percent(line, least)}; "
        f"by seed: {_each(answer.per_seed(), least)}"
    )
    print(f"on the curve of the whole run, not cooled down: {_each(answer.on_the_curve)}")
    folder = bench.config("muon", answer.rates["muon"], 1.0, 42).out
    print(f"opened by AutoModelForCausalLM as {check_plain_llama(folder)}, logits finite")
    print_json(
        {
            "share": share,
            "share_interpolated": line,
            "share_by_seed": answer.per_seed(),
            "share_on_the_curve": answer.on_the_curve,
            "best_rates": answer.rates,
            "grid": grid,
            "adamw": answer.adamw,
            "muon": answer.muon,
        }
    )


def _row(name: str, share: float, each: dict[int, float], answer: Answer) -> tuple[Any, ...]:
    mean = statistics.fmean(each.values())
    reached = "" if name == NAMES["adamw"] else ("yes" if mean <= answer.target else "no")
    values = (f"{bits:.4f}" for bits in each.values())
    return (
        f"{name}, {answer.rates[_key(name)]:g}",
        f"{share:.0%}",
        *values,
        f"{mean:.4f}",
        reached,
    )


def _key(name: str) -> str:
    return next(key for key, shown in NAMES.items() if shown == name)


def _percent(share: float | None, least: float = 0.0) -> str:
    if share is None:
        return "more than it was given"
    return f"at most {share:.1%}" if share <= least else f"{share:.1%}"


def _each(shares: dict[int, float | None], least: float = 0.0) -> str:
    return ", ".join(_percent(share, least) for share in shares.values())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="corpus artifact with a held-out split")
    parser.add_argument("--tokenizer", help="folder or shipped name; else one is trained")
    parser.add_argument("--vocab-size", type=int, default=8000, help="of the one that is trained")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--context", type=int, help="the preset's own by default")
    parser.add_argument("--tokens", type=parse_count, default=400_000, help="of a whole run")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--schedule", choices=("cosine", "wsd"), default="cosine")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3, 4e-3, 8e-3, 16e-3])
    parser.add_argument("--rate-factor", type=float, default=2.0, help="by which the grid grows")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=[50, 60, 65, 70, 75, 80, 100], help="[percent]"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evals", type=int, default=10, help="measurements on the way of a run")
    parser.add_argument("--compile", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--work", type=Path, default=Path("build/optimizers"))
    parser.add_argument("--smoke", action="store_true", help="rehearsal: tiny, no figures to keep")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.preset, chosen.tokenizer, chosen.context = "tiny", "tr32k", 32
        chosen.tokens, chosen.batch_tokens, chosen.seeds = 512, 64, 2
        chosen.shares, chosen.rates = [50, 100], [5e-4, 2e-3, 8e-3, 3e-2, 1e-1]
        chosen.evals = 2
    if 100 not in chosen.shares:
        parser.error("--shares needs 100: the whole run is compared, too")
    if len(set(chosen.rates)) < 5:
        parser.error("--rates needs five learning rates or more")
    return chosen


def shared_texts() -> list[str]:
    """The files of the development data, where it is."""
    paths = [SHARED / name for name in SHARED_FILES]
    return list(map(str, paths)) if all(path.is_file() for path in paths) else []


def main() -> None:
    chosen = parse()
    print(heading("python benchmarks/optimizers.py"))
    corpus = corpus_for(chosen.corpus, chosen.work, () if chosen.smoke else shared_texts())
    tokenizer = tokenizer_for(chosen.tokenizer, chosen.work, corpus, chosen.vocab_size)
    bench = Bench(chosen, corpus, tokenizer)
    grid = tune(
        lambda name, rate: bench.final(name, rate, 1.0, 42), chosen.rates, chosen.rate_factor
    )
    rates = {name: best_rate(values) for name, values in grid.items()}
    report(bench, grid, compare(bench, rates))


if __name__ == "__main__":
    main()
