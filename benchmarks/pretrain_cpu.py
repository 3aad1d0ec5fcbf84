"""Claim: on a CPU, pretraining makes at least 1.3 times the tokens a second of Hugging Face's
Trainer, with the same model, data, batch and precision.

    python benchmarks/pretrain_cpu.py [--preset mini] [--tokenizer tr32k] [--corpus DIR]
        [--batch-tokens 8192] [--micro-batch-tokens 8192] [--steps 10] [--repeats 3]
        [--no-breakdown]

Both train a plain Llama in bf16 autocast over fp32 weights, compiled, with fused AdamW, from tokens
made beforehand; each in a process of its own, alternating; the first steps (compiling) are left
out, a process's figure is the median of its steps, a side's the median of its processes. Then a
row with Muon, and rows in which one part of ours is switched off. The Trainer also gets our
allocator setting once: what of the difference anybody can have for one call. About 25 minutes on
two idle cores; `--smoke` is a rehearsal with the smallest shape.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from dilmac.models import preset_named
from dilmac.tokenizer import Tokenizer
from support.children import Figures, add_child_flags, answer, progress, run_child
from support.material import corpus_for, tokenizer_for
from support.measuring import heading
from support.tables import print_json, print_table

BAR = 1.3
OURS, PEER, MUON = "dilmac, AdamW", "HF Trainer, AdamW", "dilmac, Muon"
# What is switched off, one at a time, by the name of its row.
BREAKDOWN: dict[str, Figures] = {
    "dilmac without the chunked loss": {"switches": ["whole logits"]},
    "dilmac without the bf16 residual stream": {"switches": ["fp32 residual stream"]},
    "dilmac without the allocator setting": {"switches": ["allocator as it comes"]},
    "dilmac without compile": {"compile": "off"},
    "HF Trainer with our allocator setting": {"keep_freed_memory": True},
    "HF Trainer without compile": {"compile": False},
}


def measure(settings: Figures) -> Figures:
    """What a child does: one side, once."""
    if settings.pop("side") == "trainer":
        from support.trainer_peer import time_trainer

        return time_trainer(settings)
    from support.our_steps import time_ours

    return time_ours(settings)


class Bench:
    """The material, and the settings of every row."""

    def __init__(self, chosen: argparse.Namespace, work: Path):
        from dilmac.training.mixture import tokenize

        self.chosen, self.work = chosen, work
        self.corpus = corpus_for(chosen.corpus, work)
        self.tokenizer = tokenizer_for(chosen.tokenizer, work, self.corpus, 16_000)
        tokenizer = Tokenizer(self.tokenizer)
        preset = preset_named(chosen.preset)
        self.context = chosen.context or preset.context
        self.vocab_size = len(tokenizer)
        shape = preset.model_copy(update={"context": self.context})
        self.model_config = shape.shape_config(self.vocab_size).to_dict()
        self.tokens = work / "tokens"
        tokenize((self.corpus,), tokenizer, self.tokens)

    def run(self, name: str, turn: int = 0) -> Figures:
        """The figures of a row, from a process of its own."""
        changes = dict(BREAKDOWN.get(name, {}))
        is_peer = name.startswith("HF")
        settings = self._peer(changes) if is_peer else self._ours(name, changes)
        settings |= {
            "side": "trainer" if is_peer else "dilmac",
            "steps": self.chosen.warm_steps + self.chosen.steps,
            "warm_steps": self.chosen.warm_steps,
        }
        figures = run_child(__file__, settings, self.work / "runs", f"{name} {turn + 1}")
        progress(f"  {figures['tokens_per_second']:,.0f} tokens/s")
        return figures

    def _ours(self, name: str, changes: Figures) -> Figures:
        config = {
            "corpus": str(self.corpus),
            "tokenizer": str(self.tokenizer),
            "tokens_folder": str(self.tokens),
            "out": str(self.work / "never-written"),
            "preset": self.chosen.preset,
            "context": self.context,
            "batch_tokens": self.chosen.batch_tokens,
            "micro_batch_tokens": self.chosen.micro_batch_tokens,
            "optimizer": "muon" if name == MUON else "adamw",
            "precision": self.chosen.precision,
            "compile": changes.pop("compile", self.chosen.compile),
        }
        return {"config": config, **changes}

    def _peer(self, changes: Figures) -> Figures:
        return {
            "tokens": str(self.tokens),
            "model_config": self.model_config,
            "context": self.context,
            "batch_tokens": self.chosen.batch_tokens,
            "micro_batch_tokens": self.chosen.micro_batch_tokens,
            "learning_rate": 2e-3,
            "precision": self.chosen.precision,
            "compile": self.chosen.compile == "on",
            "out": str(self.work / "trainer"),
            **changes,
        }


def compare(bench: Bench, repeats: int, *, with_breakdown: bool) -> dict[str, list[Figures]]:
    """All rows: the two sides in turn, Muon beside them, then each part switched off."""
    runs: dict[str, list[Figures]] = {OURS: [], PEER: [], MUON: []}
    for turn in range(repeats):
        for name, mine in runs.items():
            mine.append(bench.run(name, turn))
    for name in BREAKDOWN if with_breakdown else ():
        runs[name] = [bench.run(name)]
    return runs


def report(bench: Bench, runs: dict[str, list[Figures]]) -> None:
    rates = {
        name: statistics.median(run["tokens_per_second"] for run in mine)
        for name, mine in runs.items()
    }
    first = runs[OURS][0]
    print(
        f"{bench.chosen.preset}, {first['parameters']:,} parameters ({bench.vocab_size:,} rows), "
        f"windows of {bench.context}, {first['step_tokens']:,} tokens a step, "
        f"{bench.chosen.precision}, compile {bench.chosen.compile}; "
        f"loss after {len(first['losses'])} steps: dilmac {first['losses'][-1]:.3f}, "
        f"Trainer {runs[PEER][0]['losses'][-1]:.3f} (other windows)"
    )
    print_table(
        ("", "tokens/s", "slowest and fastest run", "of the Trainer", "of dilmac", "memory MB"),
        [_row(name, runs[name], rates) for name in runs],
    )
    ratio = rates[OURS] / rates[PEER]
    print(f"dilmac / HF Trainer = {ratio:.2f} (bar: {BAR}); Muon {rates[MUON] / rates[PEER]:.2f}")
    print_json({"ratio": round(ratio, 3), "tokens_per_second": rates, "runs": runs})


def _row(name: str, mine: list[Figures], rates: dict[str, float]) -> tuple[Any, ...]:
    each = [run["tokens_per_second"] for run in mine]
    return (
        name,
        round(rates[name]),
        f"{min(each):,.0f} – {max(each):,.0f}" if len(each) > 1 else "one run",
        f"{rates[name] / rates[PEER]:.2f}",
        f"{rates[name] / rates[OURS]:.2f}",
        round(max(run["peak_memory_mb"] for run in mine)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--tokenizer", default="tr32k", help="shipped name or folder")
    parser.add_argument("--corpus", type=Path, help="corpus artifact; else the bundled sample")
    parser.add_argument("--context", type=int, help="the preset's own by default")
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--micro-batch-tokens", type=int, default=8192)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--compile", choices=("on", "off"), default="on", help="of both sides")
    parser.add_argument("--steps", type=int, default=10, help="timed steps of a process")
    parser.add_argument("--warm-steps", type=int, default=3, help="steps before, not timed")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each side")
    parser.add_argument("--no-breakdown", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="rehearsal: tiny, no figures to keep")
    add_child_flags(parser)
    chosen = parser.parse_args()
    if answer(chosen, measure):
        return
    if chosen.smoke:
        chosen.preset, chosen.batch_tokens, chosen.micro_batch_tokens = "tiny", 512, 256
        chosen.steps, chosen.warm_steps, chosen.repeats = 2, 1, 1
        chosen.compile = "off"
    print(heading("python benchmarks/pretrain_cpu.py"))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(chosen, Path(folder))
        runs = compare(bench, chosen.repeats, with_breakdown=not chosen.no_breakdown)
        report(bench, runs)


if __name__ == "__main__":
    main()
