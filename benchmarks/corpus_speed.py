"""Claim: `dilmac corpus build` does the work of datatrove several times faster per core, and its
time grows linearly with the text while its memory stays bounded.

    python benchmarks/corpus_speed.py [TEXT…] [--megabytes 20] [--workers 2] [--ladder]

The text is made by `support/perturbed.py` from the given files (by default the bundled prose).
Both sides get the same file in the same run, are held to the same cores, and are timed without
start-up: the time of a run on ten documents is subtracted. (What remains for dilmac is the start
of its workers, which so small a file does not need.) The best of `--repeats` runs counts.
Processor time is told too: on a busy machine it is the steadier measure. datatrove's settings
stand in `support/datatrove_peer.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import zstandard

from dilmac.core import bundled_prose
from support.datatrove_peer import TOKENIZERS, Outcome, run_datatrove
from support.measuring import heading
from support.perturbed import write_perturbed

# What datatrove's side does: FineWeb-2's steps, and Gopher's 50 words.
SAME_STEPS = [
    *("--steps", "deduplicate", "--steps", "quality"),
    *("--bands", "14", "--hashes-per-band", "8", "--min-words", "50"),
]
SAMPLE_SECONDS = 0.2
START_UP_DOCUMENTS = 10
LADDER = (1, 2, 4, 8)

Side = Callable[[Path, Path], Outcome]


@dataclass(frozen=True)
class Row:
    """A side's figures, start-up excluded."""

    name: str
    outcome: Outcome
    num_documents: int
    num_bytes: int
    workers: int

    @property
    def megabytes_a_core(self) -> float:
        return self.num_bytes / 1e6 / self.outcome.seconds / self.workers

    @property
    def megabytes_a_cpu_second(self) -> float:
        return self.num_bytes / 1e6 / self.outcome.cpu_seconds

    @property
    def documents_a_core(self) -> float:
        return self.num_documents / self.outcome.seconds / self.workers


def main(arguments: argparse.Namespace) -> None:
    paths = arguments.texts or bundled_prose()
    flags = [word for word in sys.argv[1:] if word not in arguments.texts]
    names = ["…"] if arguments.texts else []
    print(heading(" ".join(["python benchmarks/corpus_speed.py", *names, *flags])))
    print(f"text from {', '.join(sorted({Path(path).name.split('.')[0] for path in paths}))}")
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("datatrove", "spacy")))
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f}\n", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.megabytes:
            compare(paths, arguments, Path(folder))
        if arguments.ladder:
            climb(paths, arguments, Path(folder))


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--megabytes", type=float, default=20, help="0: no comparison")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--ladder", action="store_true", help="1, 2, 4, 8 times the text")
    parser.add_argument("--ladder-megabytes", type=float, default=1000, help="top of the ladder")
    parser.add_argument("--tokenizers", nargs="*", default=TOKENIZERS, choices=TOKENIZERS)
    parser.add_argument("--peer-only", action="store_true", help="datatrove alone")
    parser.add_argument("--folder", help="where the work lies (gigabytes); /tmp by default")
    return parser.parse_args(words)


# ---- the comparison


def compare(paths: Any, arguments: argparse.Namespace, folder: Path) -> None:
    text = folder / "text.jsonl.zst"
    written = write_perturbed(paths, int(arguments.megabytes * 1e6), text)
    print(
        f"{written.documents:,} documents, {written.text_bytes / 1e6:.1f} MB, of them "
        f"{written.near_duplicates:,} near-duplicates and {written.copies:,} copies\n",
        flush=True,
    )
    tiny = folder / "tiny.jsonl.zst"
    with zstandard.open(text, "rb") as lines:
        first = lines.read(1 << 22).split(b"\n")[:START_UP_DOCUMENTS]
    tiny.write_bytes(zstandard.compress(b"\n".join(first) + b"\n"))
    rows = [
        Row(
            name,
            measured(side, text, tiny, folder, arguments.repeats),
            written.documents,
            written.text_bytes,
            arguments.workers,
        )
        for name, side in sides(arguments).items()
    ]
    print_rates(rows)
    if not arguments.peer_only:
        for row in rows[2:]:
            print_agreement(rows[0], row)


def sides(arguments: argparse.Namespace) -> dict[str, Side]:
    """Who does the work, by name; each takes a file and an empty folder."""

    def ours(flags: list[str]) -> Side:
        return lambda text, folder: run_dilmac(text, folder, arguments.workers, flags)[0]

    def theirs(tokenizer: str) -> Side:
        return lambda text, folder: run_datatrove(text, folder, arguments.workers, tokenizer)

    mine = {"dilmac, the same steps": ours(SAME_STEPS), "dilmac, all steps": ours([])}
    peers = {f"datatrove, {name} words": theirs(name) for name in arguments.tokenizers}
    return peers if arguments.peer_only else mine | peers


def measured(side: Side, text: Path, tiny: Path, folder: Path, repeats: int) -> Outcome:
    """The least time of some runs, less the least of start-up."""
    runs, starts = (
        [in_empty_folder(side, path, folder) for _ in range(repeats)] for path in (text, tiny)
    )
    seconds, start = (min(run.seconds for run in some) for some in (runs, starts))
    cpu, cpu_start = (min(run.cpu_seconds for run in some) for some in (runs, starts))
    return replace(runs[0], seconds=seconds - start, cpu_seconds=cpu - cpu_start)


def in_empty_folder(side: Side, text: Path, folder: Path) -> Outcome:
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        return side(text, Path(empty))


def print_rates(rows: list[Row]) -> None:
    header = "| | MB/s per core | documents/s per core | MB per CPU second | kept "
    print(f"{header}| {rows[0].name}: times as fast (by CPU seconds) |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        wall = rows[0].megabytes_a_core / row.megabytes_a_core
        cpu = rows[0].megabytes_a_cpu_second / row.megabytes_a_cpu_second
        print(
            f"| {row.name} | {row.megabytes_a_core:.2f} | {row.documents_a_core:,.0f} "
            f"| {row.megabytes_a_cpu_second:.2f} | {len(row.outcome.kept):,} "
            f"| {wall:.1f} ({cpu:.1f}) |"
        )
    print(flush=True)


def print_agreement(ours: Row, theirs: Row) -> None:
    """How like the kept documents are: ids, and families of near-duplicates (of which the two
    sides may keep another member)."""
    mine, other = ours.outcome, theirs.outcome
    families = [frozenset(map(family, side.kept)) for side in (mine, other)]
    print(f"Kept by {ours.name} and by {theirs.name}: Jaccard {jaccard(mine.kept, other.kept):.3f}")
    print(f"over ids, {jaccard(*families):.3f} over families of near-duplicates.\n")
    print("| reason | rejected | of them kept by the other |")
    print("|---|---|---|")
    for row, kept_by_other in ((ours, other.kept), (theirs, mine.kept)):
        reasons = row.outcome.reasons
        alone = Counter(reason for name, reason in reasons.items() if name in kept_by_other)
        for reason, count in Counter(reasons.values()).most_common():
            print(f"| {row.name}: {reason} | {count:,} | {alone[reason]:,} |")
    print(flush=True)


def family(name: str) -> str:
    return name.partition("~")[0]


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


# ---- the ladder


def climb(paths: Any, arguments: argparse.Namespace, folder: Path) -> None:
    """1, 2, 4 and 8 times the text through all steps: time and memory."""
    tiny, text = folder / "tiny.jsonl.zst", folder / "step.jsonl.zst"
    write_perturbed(paths, 30_000, tiny)
    start, _ = climbed(tiny, arguments.workers, folder)
    print(
        f"| text | documents | seconds (without {start.seconds:.1f} s of start-up) | MB/s ", end=""
    )
    print("| CPU seconds | peak memory (PSS of all processes) | off linear |")
    print("|---|---|---|---|---|---|---|")
    first = 0.0  # seconds for a megabyte on the lowest step
    for step in LADDER:
        target = arguments.ladder_megabytes * 1e6 * step / LADDER[-1]
        written = write_perturbed(paths, int(target), text)
        outcome, peak = climbed(text, arguments.workers, folder)
        megabytes = written.text_bytes / 1e6
        seconds = outcome.seconds - start.seconds
        first = first or seconds / megabytes
        print(
            f"| {step} × ({megabytes:,.0f} MB) | {written.documents:,} | {seconds:,.1f} "
            f"| {megabytes / seconds:.2f} | {outcome.cpu_seconds - start.cpu_seconds:,.1f} "
            f"| {peak / 1e6:,.0f} MB | {seconds / megabytes / first - 1:+.1%} |",
            flush=True,
        )


def climbed(text: Path, workers: int, folder: Path) -> tuple[Outcome, int]:
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        return run_dilmac(text, Path(empty), workers, [])


# ---- dilmac's side


def run_dilmac(text: Path, folder: Path, workers: int, flags: list[str]) -> tuple[Outcome, int]:
    """Run the command on `workers` cores; also the peak memory of its processes [bytes]."""
    out = folder / "corpus"
    command = [sys.executable, "-m", "dilmac", "corpus", "build", str(text), "--out", str(out)]
    command += ["--workers", str(workers), "--json", *flags]
    cpu, started = children_cpu_seconds(), time.perf_counter()
    with held_to(workers), (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    peak = peak_memory(process)
    seconds = time.perf_counter() - started
    cpu = children_cpu_seconds() - cpu
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{(folder / 'log.txt').read_text()}")
    names = {line["id"] for line in documents(out, "train-*", "heldout-*")}
    reasons = {line["id"]: line["reason"] for line in documents(out, "rejects*")}
    return Outcome(seconds, cpu, frozenset(names), reasons), peak


def documents(folder: Path, *patterns: str) -> Iterator[dict[str, Any]]:
    for pattern in patterns:
        for path in sorted(folder.glob(f"{pattern}.jsonl.zst")):
            with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as lines:
                yield from map(json.loads, lines)


@contextmanager
def held_to(cores: int) -> Iterator[None]:
    """What is started meanwhile runs on that many cores only, and so do its children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; the greatest memory of it and its children, pages that several share
    counted once (PSS) [bytes]."""
    root = psutil.Process(process.pid)
    peak = 0
    while True:
        peak = max(peak, sum(map(own_share, tree(root))))
        try:
            process.wait(SAMPLE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return peak


def tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def own_share(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(parse(sys.argv[1:]))
