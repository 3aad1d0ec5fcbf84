"""Claim: dilmaç's engines cost no more than 5 % of the raw runtimes' own loops, and this is how
fast and how large each runtime is on this machine.

    python benchmarks/engines.py --work DIR [--models mini 0.6B] [--quantize-python PYTHON]
        [--tokenizer DIR] [--only "llama.cpp f16" ...] [--tokens 64] [--threads 2]

`mini` is the model that ships; `0.6B` has Qwen3-0.6B's shape, random weights and Qwen3's tokenizer
(`--tokenizer`, 5 GB in DIR). Both are exported without their proof, which is the tests' matter.

Of every engine: start-up, time to the first token of a prompt of 128, tokens a second in all with
1, 4 and 16 answers of `--tokens` at once (prompts of 16, greedy), and the kernel's high-water mark
of its process' memory. Beside it the runtime's own loop, alone, on the same prompt, as many tokens:
`model.generate`, xllamacpp's server object, onnxruntime-genai's generator. Ours and theirs take
turns, answer by answer, and the medians of both are compared: this machine's speed differs by a
third from one second to the next. The first token's is the quickest of three.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilmac.core import num_cpus
from dilmac.engines import Engine, EngineSpec, Sampling
from dilmac.export.gguf import write_gguf
from dilmac.export.quantize import quantize_gguf
from dilmac.models import model_folder, require_model_folder
from support.children import progress
from support.measuring import heading
from support.random_qwen import QWEN3_06B, make_checkpoint
from support.tables import print_json, print_table

FIRST_PROMPT, PROMPT, AT_ONCE = 128, 16, (1, 4, 16)
RUNS = 3
GREEDY: dict[str, Any] = {"temperature": 0, "logprobs": False}  # as chat and serve ask
RAW = Path(__file__).parent / "support" / "raw_loops.py"
HEADS = (
    "model",
    "runtime",
    "MB on disk",
    "start s",
    "first token ms",
    *(f"tokens/s, {number} at once" for number in AT_ONCE),
    "peak MB",
    "own loop, tokens/s",
    "ours to theirs",
)


@dataclass(frozen=True)
class Variant:
    """A runtime with a type of weights; `make` gives what it runs."""

    name: str
    kind: Any
    make: Callable[[Path], Path]
    precision: Any = "auto"


def variants(work: Path, quantize_python: Path | None) -> Iterator[Variant]:
    """All that are measured; `make` takes the model folder."""

    def gguf_of(storage: str) -> Callable[[Path], Path]:
        def make(folder: Path) -> Path:
            path = work / f"{folder.name}-{storage}.gguf"
            if not path.exists():
                write_gguf(folder, require_model_folder(folder), path, storage)
            return path

        return make

    def k_quant(folder: Path) -> Path:
        path = work / f"{folder.name}-q4_k_m.gguf"
        if not path.exists():
            quantize_gguf(gguf_of("f16")(folder), path, "q4_k_m", quantize_python, {})
        return path

    def onnx_of(storage: str) -> Callable[[Path], Path]:
        def make(folder: Path) -> Path:
            out = work / f"{folder.name}-onnx-{storage}"
            if not out.exists():
                # A command of its own: the builder imports a module `quantization`, and beside
                # this script there is another.
                proof = ["--num-lines", "1", "--num-fuzz", "1", "--num-positions", "1"]
                flags = ["--model", str(folder), "--type", storage, "--out", str(out), *proof]
                command = [sys.executable, "-m", "dilmac", "export", "onnx", *flags]
                subprocess.run(command, check=True, capture_output=True)
            return out

        return make

    for precision in ("fp32", "bf16", "int8"):
        yield Variant(f"transformers {precision}", "transformers", lambda f: f, precision)
    for storage in ("f16", "q8_0"):
        yield Variant(f"llama.cpp {storage}", "llamacpp", gguf_of(storage))
    yield Variant("llama.cpp q4_k_m", "llamacpp", k_quant)
    for storage in ("int8", "int4"):
        yield Variant(f"ONNX {storage}", "onnx", onnx_of(storage))


def size_of(path: Path) -> float:
    """Of the weights [MB]."""
    kinds = (".safetensors", ".gguf", ".onnx", ".data")
    files = [path] if path.is_file() else [f for f in path.iterdir() if f.suffix in kinds]
    return sum(file.stat().st_size for file in files) / 1e6


def measure(model: str, folder: Path, variant: Variant, chosen: argparse.Namespace) -> list[Any]:
    """One row of the table."""
    path = variant.make(folder)
    spec = EngineSpec(
        kind=variant.kind,
        model=path,
        context=1024,
        threads=chosen.threads,
        precision=variant.precision,
        slots=max(AT_ONCE),
    )
    drawn = random.Random(42)
    started = time.monotonic()
    with Engine(spec) as engine:
        ready = time.monotonic() - started
        rows = range(300, engine.vocab_size - 300)

        def prompt(length: int) -> list[int]:
            return drawn.choices(rows, k=length)

        first = min(seconds(engine, prompt(FIRST_PROMPT), 1)[0] for _ in range(RUNS))
        answers = (
            (asked := prompt(PROMPT), seconds(engine, asked, chosen.tokens)[1]) for _ in range(50)
        )
        asked = next(asked for asked, made in answers if made == chosen.tokens)
        ours, theirs = alone(engine, variant, path, asked, chosen)
        rates = [chosen.tokens / ours]
        for number in AT_ONCE[1:]:
            prompts = [prompt(PROMPT) for _ in range(number)]
            rates.append(rate_together(engine, prompts, chosen.tokens))
        peak = peak_mb(engine.pid)
    raw = chosen.tokens / theirs
    row = [model, variant.name, size_of(path), ready, 1000 * first, *rates, peak, raw]
    return [*row, rates[0] / raw]


def seconds(engine: Engine, prompt: list[int], tokens: int) -> tuple[float, int]:
    """Of one answer of so many tokens, or fewer where the model ends it; and how many."""
    started = time.perf_counter()
    made = sum(1 for _ in engine.generate(prompt, Sampling(max_tokens=tokens, **GREEDY)))
    return time.perf_counter() - started, made


def rate_together(engine: Engine, prompts: list[list[int]], tokens: int) -> float:
    """Tokens a second of all answers, asked for at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        made = sum(pool.map(lambda prompt: seconds(engine, prompt, tokens)[1], prompts))
    return made / (time.perf_counter() - started)


def alone(
    engine: Engine, variant: Variant, path: Path, prompt: list[int], chosen: argparse.Namespace
) -> tuple[float, float]:
    """Medians of our answers and of the runtime's own loop [s], which take turns."""
    arguments = [variant.kind, str(path), variant.precision, str(chosen.threads)]
    command = [sys.executable, str(RAW), *arguments, str(chosen.tokens)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    ours, theirs = [], []
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stderr=said, **pipes) as process,
    ):
        if process.stdin is None or process.stdout is None:
            raise AssertionError("no pipes")
        for turn in range(chosen.turns + 1):
            print(json.dumps(prompt), file=process.stdin, flush=True)
            answer = process.stdout.readline()
            if not answer:
                said.seek(0)
                raise SystemExit(f"{variant.name}, its own loop: {said.read()[-2000:]}")
            mine = seconds(engine, prompt, chosen.tokens)[0]
            if turn:  # the first does what is done once
                ours.append(mine)
                theirs.append(float(answer))
        process.stdin.close()
    return statistics.median(ours), statistics.median(theirs)


def peak_mb(pid: int) -> float:
    """The kernel's high-water mark of resident memory (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def folder_of(model: str, chosen: argparse.Namespace) -> Path:
    if model == "mini":
        return model_folder(Path("dilmac-mini"))
    folder: Path = chosen.work / "qwen3-0.6b-random"
    return folder if folder.exists() else make_checkpoint(QWEN3_06B, chosen.tokenizer, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=("mini", "0.6B"), default=["mini", "0.6B"])
    parser.add_argument("--tokenizer", type=Path, default=Path("../shared/tokenizers/qwen3"))
    parser.add_argument("--quantize-python", type=Path, help="with llama-cpp-python, for q4_k_m")
    parser.add_argument("--only", nargs="+", help="runtimes by their names in the table")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--turns", type=int, default=15, help="answers of each side")
    parser.add_argument("--threads", type=int, default=num_cpus())
    chosen = parser.parse_args()
    print(heading("python benchmarks/engines.py " + " ".join(sys.argv[1:])))
    chosen.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for model in chosen.models:
        folder = folder_of(model, chosen)
        for variant in variants(chosen.work, chosen.quantize_python):
            if chosen.only and variant.name not in chosen.only:
                continue
            if variant.name == "llama.cpp q4_k_m" and chosen.quantize_python is None:
                progress("llama.cpp q4_k_m is left out: it needs --quantize-python")
                continue
            rows.append(measure(model, folder, variant, chosen))
            progress(
                " · ".join(
                    f"{value:.4g}" if isinstance(value, float) else value for value in rows[-1]
                )
            )
    print_table(HEADS, rows)
    print_json([dict(zip(HEADS, row, strict=True)) for row in rows])


if __name__ == "__main__":
    main()
