"""Claim: a transplanted model is healed by a fortieth of its training, and speaks cheaper Turkish.

    python benchmarks/transplant_lab.py [--corpus DIR] [--qwen DIR] [--work DIR] [--workers 2]

`recipes/transplant-lab.yaml` trains a small model of Qwen3's kind from scratch on Turkish, English
and code, in Qwen3's tokenizer cut to 12,000 rows. `dilmac transplant` moves it by every method to
three vocabularies: its own with 16,000 Turkish rows more (`extend`), the same with a third of
the old rows gone (`prune`), and `tr32k` (`replace`); then healed by `dilmac heal` on 2.5 % of the
source's training tokens (LoRA and rows), a quarter of the text English and code. Held-out bits per
byte at steps 0, 50, 200 and at the end. `control` is the source itself, trained in the same way on
the same bytes.
First every method with one seed; then the two best of each vocabulary, and the control, with two
seeds more. `omp` has a donor for `tr32k` alone: dilmac-mini.

Healing is one process on one core each, `--workers` of them at once. Finished runs are kept in
`--work`, an interrupted one goes on. About an hour and a half on
two cores without AVX512.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from typing import Any

from dilmac.core import open_artifact, read_events
from dilmac.models import model_folder
from dilmac.recipe import RecipeConfig, run_recipe
from dilmac.tokenizer import Tokenizer, pretrained_path
from dilmac.transplant import HealConfig, TransplantConfig, heal, transplant
from support.children import add_child_flags, answer, progress, run_child
from support.lab_page import write_page
from support.lab_texts import write_texts
from support.measuring import heading
from support.tables import print_json, print_table

RECIPE = Path(__file__).parent.parent / "recipes" / "transplant-lab.yaml"
WAYS = ("extend", "prune", "replace")
METHODS = ("length_weighted", "mean", "first", "focus", "random")
# A donor has the vocabulary, and parts hang on text, where it is not the model's own continued.
OF_TR32K = ("omp", "weighted")
DEFAULT = "length_weighted"
SOURCES = ("fresh", "english", "code")
STEPS = (0, 50, 200)
HEALING_SHARE = 0.025  # of the tokens that the source was trained on
STEP_TOKENS = 512
REPLAY = 0.25
EVAL_BYTES, FINAL_BYTES = 36_000, 150_000  # of all three kinds together
# Adapters learn at --rate, rows at a multiple of it. Tried: see RESULTS.md.
LORA_RANK = 32
ROWS_RATE = {"extend": 0.5, "prune": 0.5, "replace": 1.5, "control": 0.5}
SEEDS = (42, 43, 44)
CONTROL = "control"
# Goals: bits per byte after healing as a multiple of the control's, Turkish and English.
GOALS = {"extend": (1.00, 1.02), "prune": (1.00, 1.02), "replace": (1.02, 1.20)}


@dataclass(frozen=True)
class Job:
    """One healing: what was moved where, by which method; the control is moved nowhere."""

    way: str
    method: str
    seed: int
    tokens: int

    @property
    def name(self) -> str:
        return f"{self.way}-{self.method}-{self.seed}"


@dataclass(frozen=True)
class Lab:
    """Where everything lies."""

    work: Path
    rate: float

    @property
    def made(self) -> Path:
        return self.work / "made"

    def tokenizer(self, way: str) -> Path:
        """The vocabulary that a way moves to."""
        names = {"extend": "extended", "prune": "pruned", CONTROL: "alphabet"}
        return pretrained_path("tr32k") if way == "replace" else self.made / names[way]

    def graft(self, job: Job) -> Path:
        """The transplanted model, made now or before."""
        config = TransplantConfig(
            model=str(self.made / "source"),
            tokenizer=str(self.tokenizer(job.way)),
            init=job.method,
            corpus=self.made / "turkish",
            donor=model_folder("dilmac-mini") if job.method == "omp" else None,
            weighted_parts=job.method == "weighted",
            seed=job.seed,
            out=self.work / "grafts" / job.name,
        )
        if job.method == "weighted":
            config = config.model_copy(update={"init": DEFAULT})
        return transplant(config).path

    def heal(self, job: Job) -> dict[str, Any]:
        """Transplant and heal; the curve by source, and the figures of the end."""
        model = self.made / "source" if job.way == CONTROL else self.graft(job)
        healed = heal(
            HealConfig(
                model=model,
                corpus=self.made / "fresh",
                replay=(self.made / "english", self.made / "code"),
                replay_share=REPLAY,
                train="lora",
                lora_rank=LORA_RANK,
                lora_alpha=LORA_RANK,
                tokens=job.tokens,
                patience=None,
                batch_tokens=STEP_TOKENS,
                micro_batch_tokens=STEP_TOKENS,
                learning_rate=self.rate,
                table_rate_share=ROWS_RATE[job.way],
                schedule="cosine",
                eval_steps=50,
                eval_bytes=EVAL_BYTES,
                checkpoint_steps=100,
                save_precision="fp32",
                seed=job.seed,
                out=self.work / "healed" / job.name,
            )
        )
        events = [e for e in read_events(healed.path / "events.jsonl") if e["event"] == "heldout"]
        figures = healed.figures
        return {
            "curve": [[event["step"], event["by_source"]] for event in events],
            "final": figures["heldout_bits_per_byte_by_source"],
            "steps": figures["steps"],
            "text_tokens": figures["text_tokens"],
            "text_bytes": figures["text_bytes"],
        }


def main() -> None:
    chosen = _flags()
    lab = Lab(chosen.work, chosen.rate)
    if answer(chosen, lambda settings: _work(lab, settings)):
        return
    write_texts(chosen.corpus, chosen.work / "texts")
    os.environ["HF_HUB_OFFLINE"] = "1"
    run_recipe(
        RecipeConfig(
            recipe=RECIPE,
            out=lab.made,
            set=tuple(_changes(chosen.work / "texts", chosen.qwen)),
        )
    )
    source = open_artifact(lab.made / "source").figures
    tokens = int(source["tokens_trained"] * HEALING_SHARE) // STEP_TOKENS * STEP_TOKENS
    progress(f"source: {source['heldout_bits_per_byte_by_source']}; heals {tokens:,} tokens")
    workers = Workers(chosen)
    ways = [way for way in WAYS if way in chosen.ways]
    first = [
        Job(way, method, SEEDS[0], tokens)
        for way in ways
        for method in (*METHODS, *(OF_TR32K if way == "replace" else ()))
    ]
    controls = [Job(CONTROL, "none", SEEDS[0], _control_tokens(lab, ways, tokens))]
    found = workers.run([*controls, *first])
    best = {way: _two_best(found, way) for way in ways}
    more = [Job(way, m, seed, tokens) for way in ways for m in best[way] for seed in SEEDS[1:]]
    more += [Job(CONTROL, "none", seed, controls[0].tokens) for seed in SEEDS[1:]]
    found |= workers.run(more)
    _report(lab, found, best, source)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--qwen", type=Path, default=Path("../shared/tokenizers/qwen3"))
    parser.add_argument("--work", type=Path, default=Path("transplant-lab"))
    parser.add_argument("--workers", type=int, default=2, help="healings at once, a core each")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    add_child_flags(parser)
    return parser.parse_args()


def _changes(texts: Path, qwen: Path) -> Iterable[str]:
    """The recipe's settings for where the texts and the tokenizer lie."""
    for stage, name in (("turkish",) * 2, ("english",) * 2, ("code",) * 2, ("fresh",) * 2):
        yield f"{stage}.inputs=['{texts / name}.jsonl']"
    for stage in ("alphabet", "extended", "pruned"):
        yield f"{stage}.other_texts=['{texts / 'english.jsonl'}', '{texts / 'code.jsonl'}']"
    yield f"alphabet.base={qwen}"


def _control_tokens(lab: Lab, ways: list[str], tokens: int) -> int:
    """As many tokens of the source's as hold the bytes of the way that reads most."""
    sample = {name: _sample(lab.work / "texts" / f"{name}.jsonl") for name in SOURCES}

    def bytes_per_token(way: str) -> float:
        tokenizer = Tokenizer(lab.tokenizer(way))
        each = {
            name: len(text.encode()) / len(tokenizer.encode(text)) for name, text in sample.items()
        }
        other = (each["english"] + each["code"]) / 2
        return 1 / ((1 - REPLAY) / each["fresh"] + REPLAY / other)

    most = max(bytes_per_token(way) for way in ways)
    return round(tokens * most / bytes_per_token(CONTROL) / STEP_TOKENS) * STEP_TOKENS


def _sample(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(400_000)


def _work(lab: Lab, settings: dict[str, Any]) -> dict[str, Any]:
    """In a child, on one core."""
    os.sched_setaffinity(0, {settings.pop("core")})
    ending = importlib.import_module("dilmac.training.pretrain")
    ending.FINAL_EVAL_BYTES = FINAL_BYTES  # a healing of two minutes needs no longer end
    return lab.heal(Job(**settings))


class Workers:
    """Children, each on a core of its own."""

    def __init__(self, chosen: argparse.Namespace):
        self.chosen = chosen
        self.cores: Queue[int] = Queue()
        for core in sorted(os.sched_getaffinity(0))[: chosen.workers]:
            self.cores.put(core)

    def run(self, jobs: list[Job]) -> dict[Job, dict[str, Any]]:
        """The figures of every job, in the order in which they were asked for."""
        with ThreadPoolExecutor(self.cores.qsize()) as pool:
            return dict(zip(jobs, pool.map(self._one, jobs), strict=True))

    def _one(self, job: Job) -> dict[str, Any]:
        core = self.cores.get()
        try:
            settings = asdict(job) | {"core": core}
            folder = self.chosen.work / "logs"
            return run_child(__file__, settings, folder, job.name, flags=self._own_flags())
        finally:
            self.cores.put(core)

    def _own_flags(self) -> list[str]:
        chosen = self.chosen
        return ["--work", str(chosen.work), "--rate", str(chosen.rate)]


# ---- what was found

Found = dict[Job, dict[str, Any]]


def final(found: Found, way: str, method: str, name: str) -> float:
    """Mean over seeds of the bits per byte after healing."""
    return statistics.mean(
        float(figures["final"][name])
        for job, figures in found.items()
        if (job.way, job.method) == (way, method)
    )


def at(figures: dict[str, Any], step: int, name: str) -> float:
    """Bits per byte at a step of the curve."""
    return float(next(values[name] for done, values in figures["curve"] if done == step))


def _two_best(found: Found, way: str) -> list[str]:
    methods = {job.method for job in found if job.way == way}
    return sorted(methods, key=lambda method: final(found, way, method, "fresh"))[:2]


def _report(lab: Lab, found: Found, best: dict[str, list[str]], source: Any) -> None:
    print(heading("python benchmarks/transplant_lab.py"))
    print(f"source: {source['parameters']:,} parameters, {source['tokens_trained']:,} tokens")
    seen: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for job, figures in found.items():
        seen[job.way, job.method].append(figures)
    print_table(
        (
            "vocabulary",
            "method",
            "seeds",
            *(f"tr {step}" for step in STEPS),
            "tr end",
            "en end",
            "code end",
        ),
        [_row(way, method, runs) for (way, method), runs in seen.items()],
    )
    print_table(
        (
            "vocabulary",
            "method",
            "tr of control",
            "goal",
            "en of control",
            "goal",
            "code of control",
        ),
        list(_against_control(found, best)),
    )
    ranked = {
        way: min(
            _methods(found, way), key=lambda m: _mean(seen[way, m], lambda f: at(f, 50, "fresh"))
        )
        for way in best
    }
    print(f"lowest Turkish at step 50: {ranked}; the default is {DEFAULT}")
    write_page(
        lab.work / "curves.html", {f"{j.way} {j.method} {j.seed}": f for j, f in found.items()}
    )
    print_json([asdict(job) | figures for job, figures in found.items()])


def _methods(found: Found, way: str) -> list[str]:
    return list(dict.fromkeys(job.method for job in found if job.way == way))


def _mean(runs: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> float:
    return round(statistics.mean(map(value, runs)), 4)


def _row(way: str, method: str, runs: list[dict[str, Any]]) -> list[Any]:
    on_the_way = [_mean(runs, lambda f, step=step: at(f, step, "fresh")) for step in STEPS]
    ends = [_mean(runs, lambda f, name=name: float(f["final"][name])) for name in SOURCES]
    return [way, method, len(runs), *on_the_way, *ends]


def _against_control(found: Found, best: dict[str, list[str]]) -> Iterable[list[Any]]:
    control = {name: final(found, CONTROL, "none", name) for name in SOURCES}
    for way, methods in best.items():
        for method in dict.fromkeys((*methods, DEFAULT)):
            turkish, english, code = (final(found, way, method, n) / control[n] for n in SOURCES)
            goals = GOALS[way]
            yield [way, method, turkish, f"≤{goals[0]}", english, f"≤{goals[1]}", code]


if __name__ == "__main__":
    main()
