"""Claim: `dilmac transplant` of a model of 8B stays under 6 GB of memory, and writes its result at
no less than half of the speed of a plain copy.

    python benchmarks/transplant_size.py --work DIR [--shapes 0.6B 8B] [--peer] [--corpus DIR]

DIR is a folder on the disk that is measured, with 36 GB free for 8B (42 with `--peer`); what is
made there is deleted at the end, also after an interruption. The models have Qwen3's shapes, random
weights and Qwen3's real tokenizer; `replace` gives them the shipped tr32k, `extend` 32,000 rows
that `dilmac tokenizer extend` learns from Turkish files of `--corpus`.

Each transplant is a command of its own, run after a plain copy of the same model's files. Before
each, the disk is written out and the model's pages are dropped from memory; neither waits for the
disk at its end. Start-up is the same command on a model of one layer, 64 wide, with the same
vocabularies: imports, tokenizers, the plan of the rows; the quicker of two runs. Where
others use the machine, times say little: see how long the command waited for a processor.

The peer (`--peer`) is mergekit-tokensurgeon with its subword method, in an environment of its own:
`--mergekit-python`, or one that is made for the run (6 GB from the package index).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

from support.children import ChildFailed, Figures, progress
from support.measuring import heading
from support.random_qwen import QWEN3_06B, QWEN3_8B, Shape, make_checkpoint
from support.tables import print_json, print_table
from support.transplanters import (
    Dilmac,
    Tokensurgeon,
    Transplanter,
    extended_tokenizer,
    extending,
    replacing,
)
from support.watched import Watched, run_watched

MAX_PEAK_GB, MIN_RATIO = 6.0, 0.5
SHAPES = {
    "0.6B": QWEN3_06B,
    "8B": QWEN3_8B,
    # Memory depends on the tables: this shows it where time or disk is short.
    "8B-tables": replace(QWEN3_8B, name="Qwen3-8B, 4 of its layers", layers=4),
}
STARTUP = replace(QWEN3_06B, name="start-up", layers=1, width=64, ffn=64)
ROOM = 2.2  # of a model's bytes: the model, what is made of it, some air
HEADS = {
    "model": "model",
    "command": "command",
    "peak_gb": "peak GB",
    "peak_anon_gb": "of it anonymous",
    "seconds": "s",
    "cpu_seconds": "CPU s",
    "waited_seconds": "main thread waited for a CPU, s",
    "startup_seconds": "start-up s",
    "result_gb": "result GB",
    "rate": "MB/s",
    "copy_rate": "cp MB/s",
    "ratio": "ratio",
    "ratio_after_startup": "without start-up",
    "copy_cpu_seconds": "cp CPU s",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--work", type=Path, help="folder on the disk to measure")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["0.6B", "8B"])
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--tokenizer", type=Path, default=Path("../shared/tokenizers/qwen3"))
    parser.add_argument(
        "--ways", nargs="+", choices=("replace", "extend"), default=["replace", "extend"]
    )
    parser.add_argument("--extended", type=Path, help="what `tokenizer extend` made, for `extend`")
    parser.add_argument("--startup-runs", type=int, default=2, help="the quickest counts; 0: none")
    parser.add_argument("--peer", action="store_true", help="mergekit-tokensurgeon as well")
    parser.add_argument("--mergekit-python", type=Path, help="python of an environment that has it")
    chosen = parser.parse_args()
    texts = sorted(chosen.corpus.glob("tr-*-2.jsonl.zst"))  # real text of ten kinds, 3 MB packed
    if not (chosen.work and texts and (chosen.tokenizer / "tokenizer.json").is_file()):
        print("needs a disk and the development data: --work DIR --corpus DIR --tokenizer DIR")
        return
    signal.signal(signal.SIGTERM, _end)
    print(heading("python benchmarks/transplant_size.py " + " ".join(sys.argv[1:])))
    chosen.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.work, prefix="transplant-size-") as name:
        scratch = Path(name)
        bench = Bench(scratch, chosen.tokenizer, sides_of(chosen, scratch, texts))
        bench.startup(chosen.startup_runs)
        for shape in chosen.shapes:
            bench.measure(SHAPES[shape])
        report(bench.rows)


def sides_of(
    chosen: argparse.Namespace, scratch: Path, texts: Sequence[Path]
) -> list[Transplanter]:
    """Who is measured, in their order."""
    sides: list[Transplanter] = []
    if "replace" in chosen.ways:
        sides.append(replacing(scratch))
    if "extend" in chosen.ways:
        extended = chosen.extended or extended_tokenizer(scratch, chosen.tokenizer, texts)
        sides.append(extending(scratch, extended))
    if chosen.peer:
        sides.append(Tokensurgeon(chosen.mergekit_python, scratch))
    return sides


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that the folder is deleted


class Bench:
    """Every side on one model after the other."""

    def __init__(self, scratch: Path, tokenizer: Path, sides: list[Transplanter]):
        self.scratch, self.tokenizer, self.sides = scratch, tokenizer, sides
        self.startups: dict[str, Watched] = {}
        self.rows: list[Figures] = []

    def startup(self, num_runs: int) -> None:
        """Seconds of each side that no size of a model changes. A peer that fails is left out."""
        if not num_runs:
            return
        model = self._model(STARTUP)
        out = self.scratch / "out"
        for side in list(self.sides):
            try:
                runs = []
                for _ in range(num_runs):
                    runs.append(side.run(STARTUP, model, out))
                    shutil.rmtree(out)
                self.startups[side.name] = min(runs, key=lambda took: took.seconds)
                progress(f"start-up of {side.name}: {self.startups[side.name]}")
            except ChildFailed as error:
                if isinstance(side, Dilmac):
                    raise
                progress(f"{side.name}, start-up: {error}")
                self.sides.remove(side)

    def measure(self, shape: Shape) -> None:
        """A model, transplanted by each side."""
        free = shutil.disk_usage(self.scratch).free
        if free < ROOM * shape.num_bytes:
            needed = ROOM * shape.num_bytes / 1e9
            progress(f"{shape.name} left out: {free / 1e9:.0f} of {needed:.0f} GB are free")
            return
        model = self._model(shape)
        for side in self.sides:
            copy = self._copy(model)
            try:
                self.rows.append(self._measure_side(shape, side, model, copy))
                progress(f"{shape.name}, {side.name}: {self.rows[-1]}")
            except ChildFailed as error:
                if isinstance(side, Dilmac):
                    raise
                progress(f"{shape.name}, {side.name}: {error}")
            shutil.rmtree(self.scratch / "out", ignore_errors=True)
        shutil.rmtree(model)

    def _model(self, shape: Shape) -> Path:
        started = time.monotonic()
        made = make_checkpoint(shape, self.tokenizer, self.scratch / shape.name)
        progress(f"{shape.name}, random: made in {time.monotonic() - started:.0f} s")
        return made

    def _copy(self, model: Path) -> Rates:
        """Speed of copying the model's files."""
        copy = self.scratch / "copy"
        _forget(model)
        took = run_watched(["cp", "-r", str(model), str(copy)], self.scratch / "cp.log")
        size = _num_bytes(copy)
        shutil.rmtree(copy)
        progress(f"copied {size / 1e9:.1f} GB: {took}")
        return Rates(size, took)

    def _measure_side(self, shape: Shape, side: Transplanter, model: Path, copy: Rates) -> Figures:
        out = self.scratch / "out"
        _forget(model)
        took = side.run(shape, model, out)
        mine = Rates(_num_bytes(out), took, self.startups.get(side.name))
        return {
            "model": shape.name,
            "command": side.name,
            **asdict(took),
            "startup_seconds": mine.startup.seconds if mine.startup else 0.0,
            "result_gb": mine.num_bytes / 1e9,
            "rate": mine.whole,
            "copy_rate": copy.whole,
            "ratio": mine.whole / copy.whole,
            "ratio_after_startup": mine.after_startup / copy.whole,
            "copy_cpu_seconds": copy.took.cpu_seconds,
        }


@dataclass(frozen=True)
class Rates:
    """MB/s of a command that wrote something."""

    num_bytes: int
    took: Watched
    startup: Watched | None = None

    @property
    def whole(self) -> float:
        """Of all its time."""
        return self.num_bytes / 1e6 / self.took.seconds

    @property
    def after_startup(self) -> float:
        """Without what it takes for a model of no size."""
        started = self.startup.seconds if self.startup else 0.0
        return self.num_bytes / 1e6 / (self.took.seconds - started)


def _forget(folder: Path) -> None:
    """Write everything out and drop the folder's files from memory."""
    os.sync()
    for path in filter(Path.is_file, folder.rglob("*")):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def report(rows: list[Figures]) -> None:
    """The table, and whether the bars are met where they stand: by dilmac at 8B."""
    print_table(list(HEADS.values()), [[row[key] for key in HEADS] for row in rows])
    for row in rows:
        if row["model"] != QWEN3_8B.name or not row["command"].startswith("dilmac"):
            continue
        peak, ratio = row["peak_gb"] <= MAX_PEAK_GB, row["ratio"] >= MIN_RATIO
        said = f"peak at most {MAX_PEAK_GB} GB: {peak}, ratio at least {MIN_RATIO}: {ratio}"
        print(f"{row['command']}: {said}")
    print_json(rows)


if __name__ == "__main__":
    main()
