"""Claim: dilmac-mini needs fewer bits per byte than PPMd primed with the same training text, and
than a Llama of equal size that Hugging Face's Trainer trained on as many of the same tokens.

    python benchmarks/mini.py --model DIR --corpus DIR [DIR …] --tokens 200M --work build/mini \\
        --unseen "news=parallel-tr-en.jsonl.zst:tr:ntrex" --unseen "wiki=qa-tr.jsonl.zst:context"

Held-out text: of each source of the corpora the documents whose id is in the test part. `--unseen`
files are of no training: NAME=PATH, with :FIELD and :ID-PREFIX where wanted. Of each domain at most
`--max-bytes` are measured, drawn with a fixed seed; a column says which share of its long lines
stands in the training text all the same. Every text starts after the end-of-text token.

PPMd (variant I) reads all training text once, documents shuffled, then each domain in a copy of its
own. It wants about 60 bytes of memory for a byte of text and can address 4 GB: what is more than
about 70 MB makes it cut off its oldest contexts. Low orders need less memory: `--ppmd-orders` gives
several, and the best by the macro average counts. It reads 4 MB a second at first and less as its
memory fills: some minutes for an order.

The Trainer's model has the same config, tokenizer, tokens, batch and context; AdamW at `--rate`
(0.001 to 0.003 is usual; try some), cosine to zero after 5 % of warm-up, bf16, compiled. It is
trained here (`--tokens`: by default what the model's artifact.json says), which takes about as long
as the model itself took and goes on after an interruption; or it is given with `--baseline DIR`.
Measuring takes a few minutes a model. `--smoke` is a rehearsal on the bundled sample.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

from dilmac.core import open_artifact, write_json
from dilmac.training.budget import parse_count
from support.children import ChildFailed, Figures, add_child_flags, answer, progress, run_child
from support.domains import (
    Domains,
    heldout_domains,
    seen_shares,
    shuffled_training_text,
    unseen_domains,
)
from support.material import corpus_for
from support.measuring import heading
from support.primed import primed_by_domain
from support.tables import print_json, print_table

BASELINE = "HF Trainer, AdamW"
Values = dict[str, float]


def measure(settings: Figures) -> Figures:
    """What a child does: train the Trainer's model."""
    from support.trainer_peer import train_baseline

    return train_baseline(settings)


# ---- PPMd


def ppmd(
    corpora: list[Path], train: list[str], domains: Domains, chosen: argparse.Namespace
) -> dict[int, tuple[Values, Figures]]:
    """Bits per byte by domain, and what it was primed with, by order; kept in `--work`."""
    found = {}
    train_bytes = sum(len(text.encode()) for text in train)
    for order in chosen.ppmd_orders:
        asked = [order, chosen.ppmd_memory_gb, train_bytes, domains, list(map(str, corpora))]
        key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
        kept = chosen.work / f"ppmd-{order}-{key}.json"
        if not kept.is_file():
            progress(f"PPMd, order {order}: reads {train_bytes / 1e6:,.0f} MB")
            values, facts = primed_by_domain(
                train,
                domains,
                train_bytes=train_bytes,
                order=order,
                max_memory=round(chosen.ppmd_memory_gb * (1 << 30)),
            )
            write_json(kept, {"values": values, "facts": facts})
        result = json.loads(kept.read_text(encoding="utf-8"))
        found[order] = (result["values"], result["facts"])
    return found


# ---- models


def bits_by_domain(folder: Path, domains: Domains) -> tuple[Values, int]:
    """Bits per byte of a model in fp32 on every domain; and its parameters."""
    import torch

    from dilmac.core import num_cpus
    from dilmac.evaluate import measure_bits
    from dilmac.models import load_model
    from dilmac.tokenizer import Tokenizer

    torch.set_num_threads(num_cpus())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = load_model(folder)
    model = model.to(device)
    tokenizer = Tokenizer(folder)
    values = {}
    for name, texts in domains.items():
        values[name] = measure_bits(model, tokenizer, texts).per_byte
        progress(f"{folder.name}, {name}: {values[name]:.4f} bits per byte")
    return values, sum(p.numel() for p in model.parameters())


def baseline(model: Path, corpora: list[Path], chosen: argparse.Namespace) -> Path:
    """The Trainer's model: given, trained before, or trained now."""
    if chosen.baseline is not None:
        return Path(chosen.baseline)
    out: Path = chosen.work / f"trainer-{chosen.rate:g}-{tokens_of(model, chosen)}"
    if not out.is_dir():
        settings = baseline_settings(model, corpora, chosen) | {"out": str(out)}
        progress(
            f"HF Trainer: {settings['steps']:,} steps of {settings['batch_tokens']:,} tokens; "
            "interrupted, the same command goes on"
        )
        try:
            run_child(__file__, settings, chosen.work / "runs", "baseline", is_shown=True)
        except ChildFailed as failure:
            raise SystemExit(str(failure)) from failure
    return out


def baseline_settings(model: Path, corpora: list[Path], chosen: argparse.Namespace) -> Figures:
    from transformers import AutoConfig

    from dilmac.tokenizer import Tokenizer
    from dilmac.training.mixture import tokenize

    config = AutoConfig.from_pretrained(model)
    context = chosen.context or config.max_position_embeddings
    tokens = chosen.tokens_folder or chosen.work / "tokens"
    weights = {name: float(weight) for name, _, weight in map(_parted, chosen.source_weight)}
    tokenize(corpora, Tokenizer(model), tokens, source_weights=weights)
    steps = max(1, tokens_of(model, chosen) // chosen.batch_tokens)
    return {
        "tokens": str(tokens),
        "tokenizer": str(model),
        # In fp32, as new models are; the folder's own may have been saved in bf16.
        "model_config": config.to_dict() | {"dtype": "float32"},
        "context": context,
        "batch_tokens": chosen.batch_tokens,
        "micro_batch_tokens": chosen.micro_batch_tokens,
        "steps": steps,
        "learning_rate": chosen.rate,
        "precision": chosen.precision,
        "compile": chosen.compile == "on",
        "save_steps": min(steps, chosen.save_steps),
    }


def _parted(entry: str) -> tuple[str, str, str]:
    return entry.rpartition("=")


def tokens_of(model: Path, chosen: argparse.Namespace) -> int:
    """The budget: as flagged, or what the model was trained on."""
    if chosen.tokens is not None:
        return int(chosen.tokens)
    figures = open_artifact(model, "model").figures
    if "tokens_trained" not in figures:
        raise SystemExit(f"{model}: its artifact.json names no tokens_trained; give --tokens")
    return int(figures["tokens_trained"])


# ---- the report


def macro(values: Values, *, is_unseen: bool | None = None) -> float | None:
    """Mean over the domains, over the unseen ones, or over the others."""
    wanted = [
        value
        for name, value in values.items()
        if is_unseen is None or name.endswith("(unseen)") == is_unseen
    ]
    return statistics.fmean(wanted) if wanted else None


def report(domains: Domains, seen: dict[str, float | None], columns: dict[str, Values]) -> None:
    """A table of bits per byte by domain; the means below."""
    heads = ("bits per byte", "kB", "lines seen in training", *columns)
    rows = []
    for name, texts in domains.items():
        share = seen[name]
        kilobytes = sum(len(text.encode()) for text in texts) / 1000
        shown = "no long line" if share is None else f"{share:.1%}"
        row = (name, f"{kilobytes:,.0f}", shown)
        rows.append((*row, *(f"{values[name]:.4f}" for values in columns.values())))
    for title, is_unseen in (("held out", False), ("unseen", True), ("all", None)):
        means = [macro(values, is_unseen=is_unseen) for values in columns.values()]
        if any(mean is not None for mean in means):
            shown_means = [f"**{mean:.4f}**" for mean in means if mean is not None]
            rows.append((f"**macro, {title}**", "", "", *shown_means))
    print_table(heads, rows)


def print_ratios(columns: dict[str, Values], rivals: list[str]) -> None:
    for name, values in columns.items():
        for rival in rivals if name not in rivals else ():
            theirs = columns[rival]
            ratio = statistics.fmean(values[domain] / theirs[domain] for domain in values)
            wins = sum(values[domain] < theirs[domain] for domain in values)
            print(f"{name} / {rival} = {ratio:.3f}; lower on {wins} of {len(values)} domains")


def compare(chosen: argparse.Namespace) -> None:
    corpora = chosen.corpus
    domains = heldout_domains(corpora, chosen.max_bytes, any_heldout=chosen.any_heldout)
    domains |= unseen_domains(chosen.unseen, chosen.max_bytes)
    if not domains:
        raise SystemExit("nothing to measure: no held-out document of the test part, no --unseen")
    train = shuffled_training_text(corpora)
    seen = seen_shares(domains, train)
    columns: dict[str, Values] = {}
    facts: Figures = {}
    primed = ppmd(corpora, train, domains, chosen) if chosen.ppmd_orders else {}
    del train
    if primed:
        best = min(primed, key=lambda order: macro(primed[order][0]) or 0.0)
        for order, (values, how) in primed.items():
            facts[f"PPMd {order}"] = how
            if order == best:
                columns[f"PPMd, order {order}"] = values
            print(
                f"PPMd, order {order}: macro {macro(values):.4f}, "
                f"{how['memory_bytes'] / 1e9:.2f} GB of {how['memory_wanted_bytes'] / 1e9:.2f} "
                f"wanted, primed with {how['primed_with_bytes'] / 1e6:,.1f} MB"
            )
    rivals = list(columns)
    if not chosen.no_baseline:
        columns[BASELINE], size = bits_by_domain(
            baseline(chosen.model[0], corpora, chosen), domains
        )
        facts[BASELINE] = {"parameters": size, "rate": chosen.rate}
        rivals.append(BASELINE)
    for model in chosen.model:
        columns[model.name], size = bits_by_domain(model, domains)
        facts[model.name] = {"parameters": size}
    for name, fact in facts.items():
        if "parameters" in fact:
            print(f"{name}: {fact['parameters']:,} parameters")
    report(domains, seen, columns)
    print_ratios(columns, rivals)
    print_json({"bits_per_byte": columns, "seen": seen, "facts": facts})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, nargs="+", help="folders; the first is the pattern")
    parser.add_argument("--corpus", type=Path, nargs="+", help="the corpus artifacts of training")
    parser.add_argument("--unseen", action="append", default=[], help="NAME=PATH:FIELD:ID-PREFIX")
    parser.add_argument("--any-heldout", action="store_true", help="not only the ids' test part")
    parser.add_argument("--max-bytes", type=int, default=200_000, help="of a domain")
    parser.add_argument("--ppmd-orders", type=int, nargs="*", default=[16, 6])
    parser.add_argument("--ppmd-memory-gb", type=float, default=4.0)
    parser.add_argument("--no-baseline", action="store_true")
    parser.add_argument("--baseline", type=Path, help="a model folder that the Trainer made")
    parser.add_argument("--tokens", type=parse_count, help="that the Trainer trains on")
    parser.add_argument("--tokens-folder", type=Path, help="corpus in tokens, made before")
    parser.add_argument("--source-weight", action="append", default=[], help="SOURCE=WEIGHT")
    parser.add_argument("--rate", type=float, default=2e-3, help="the Trainer's highest rate")
    parser.add_argument("--context", type=int, help="the model's own by default")
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument("--micro-batch-tokens", type=int, default=8192)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--compile", choices=("on", "off"), default="on")
    parser.add_argument("--save-steps", type=int, default=200, help="between its checkpoints")
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--smoke", action="store_true", help="rehearsal: tiny, no figures to keep")
    add_child_flags(parser)
    return parser.parse_args()


def rehearse(chosen: argparse.Namespace) -> None:
    """A corpus of the bundled sample and a tiny model of it, in `--work`."""
    from dilmac.tokenizer import pretrained_path
    from dilmac.training import PretrainConfig, pretrain

    corpus = corpus_for(None, chosen.work)
    out = chosen.work / "tiny"
    pretrain(
        PretrainConfig(
            corpus=corpus,
            tokenizer=pretrained_path("tr32k"),
            tokens_folder=chosen.work / "tokens",
            out=out,
            preset="tiny",
            context=64,
            tokens=2048,
            batch_tokens=256,
            sample_prompts=(),
        )
    )
    chosen.model, chosen.corpus, chosen.any_heldout = [out], [corpus], True
    chosen.max_bytes, chosen.batch_tokens, chosen.micro_batch_tokens = 1000, 256, 128
    chosen.compile, chosen.save_steps, chosen.ppmd_orders = "off", 3, [6, 4]


def main() -> None:
    chosen = parse()
    if answer(chosen, measure):
        return
    if not (chosen.smoke or (chosen.model and chosen.corpus)):
        print("needs a model and the corpora of its training: --model DIR --corpus DIR …")
        return
    print(heading("python benchmarks/mini.py"))
    chosen.work.mkdir(parents=True, exist_ok=True)
    if chosen.smoke:
        rehearse(chosen)
    compare(chosen)


if __name__ == "__main__":
    main()
