"""Claim: no type of an export loses more than 2 % in bits per byte without a warning in its card.

    python benchmarks/quantization.py --text FILES… --work DIR [--model dilmac-mini]
        [--quantize-python PYTHON] [--positions 2000] [--types q8_0 q4_k_m …]

Each type is exported by the command, with the proof on `--text` (real text that the model has not
seen; the importance matrix of K-quants is counted on its end), and each figure is read from the
artifact: size, bits per weight, bits per byte before and after, the same best token, and whether
the card warns. Speed is that of one greedy answer of 64 tokens, one thread, the quickest of three.
K-quants are made twice, with an importance matrix and without.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from dilmac.core import open_artifact
from dilmac.engines import Engine, EngineSpec, engine_for
from dilmac.export.loss import MAX_LOSS_PERCENT
from dilmac.models import model_folder
from dilmac.tokenizer import Tokenizer
from engines import seconds
from support.measuring import heading
from support.tables import print_json, print_table

GGUF = ("f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m")
ONNX = ("fp32", "int8", "int4")
K_QUANTS = ("q6_k", "q5_k_m", "q4_k_m")
TOKENS, RUNS = 64, 3
HEADS = (
    "type",
    "MB",
    "bits per weight",
    "bits per byte",
    "loss %",
    "same best token %",
    "largest difference, nats",
    "tokens/s",
    "warned of",
)


def export(verb: str, storage: str, out: Path, chosen: argparse.Namespace, more: list[str]) -> None:
    """Run the command."""
    flags = ["--model", str(chosen.model), "--type", storage, "--out", str(out), *more]
    flags += [flag for text in chosen.text for flag in ("--text", str(text))]
    flags += ["--num-positions", str(chosen.positions), "--num-lines", "1000"]
    command = [sys.executable, "-m", "dilmac", "export", verb, *flags]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def row_of(name: str, out: Path, model: Path) -> list[Any]:
    """What the artifact says, and how fast it answers."""
    figures = open_artifact(out).figures
    scores, loss = figures["parity"]["logprobs"], figures["parity"].get("loss")
    warned = "Warning" in (out / "README.md").read_text(encoding="utf-8")
    lost = loss["loss_percent"] if loss else 0.0
    if warned != (lost > MAX_LOSS_PERCENT):
        raise SystemExit(f"{name}: a loss of {lost} %, and the card warns: {warned}")
    spec = engine_for(out)
    start = Tokenizer(model).document_start_id
    with Engine(EngineSpec(kind=spec.kind, model=spec.model, threads=1)) as engine:
        times = [seconds(engine, [start], TOKENS) for _ in range(RUNS)]
    return [
        name,
        figures["num_bytes"] / 1e6,
        float(figures["bits_per_weight"]),
        loss["bits_per_byte_after"] if loss else "the source's, within the bound",
        lost,
        scores["same_best_percent"],
        scores["largest_difference"],
        max(made / took for took, made in times),
        "yes" if warned else "no",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path("dilmac-mini"))
    parser.add_argument("--quantize-python", type=Path)
    parser.add_argument("--positions", type=int, default=2000)
    parser.add_argument("--types", nargs="+", choices=(*GGUF, *ONNX), default=[*GGUF, *ONNX])
    chosen = parser.parse_args()
    print(heading("python benchmarks/quantization.py " + " ".join(sys.argv[1:])))
    model = model_folder(chosen.model)
    rows = []
    for storage in chosen.types:
        verb = "gguf" if storage in GGUF else "onnx"
        ways: dict[str, list[str]] = {f"{verb} {storage}": []}
        if storage in K_QUANTS:
            if chosen.quantize_python is None:
                print(f"{storage} is left out: it needs --quantize-python")
                continue
            python = ["--quantize-python", str(chosen.quantize_python)]
            plain = [*python, "--importance-tokens", "0"]
            ways = {f"{verb} {storage}": python, f"{verb} {storage}, no importance matrix": plain}
        for number, (name, more) in enumerate(ways.items()):
            out = chosen.work / f"{verb}-{storage}-{number}"
            export(verb, storage, out, chosen, more)
            rows.append(row_of(name, out, model))
    print_table(HEADS, rows)
    print_json([dict(zip(HEADS, row, strict=True)) for row in rows])


if __name__ == "__main__":
    main()
