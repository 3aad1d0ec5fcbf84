"""Claim: `dilmac estimate` is within 20 % of peak memory and 35 % of time, on a CPU.

    taskset -c 1 python benchmarks/estimate.py CORPUS --work DIR [--sizes tiny quick mini]
        [--core 1] [--data FILE.jsonl]

For every size: the estimate, then the real verb with the same flags, each in a process of its own:
`pretrain` on the corpus, and `finetune` of a random model by LoRA, in full, and by QLoRA where the
verb has it. Peak is the kernel's high-water mark of resident memory. Time is the CPU
seconds of the real run, held to one core with one thread: on a busy machine the time on the wall is
that of the queue, and an estimate leaves waiting for a core out. The wall is printed beside it.

    python benchmarks/estimate.py --qwen

counts Qwen3-0.6B to 8B, extended, healed and fine-tuned by QLoRA on a card of 24 GB. Nothing runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dilmac.training import FinetuneConfig
from support.measuring import heading
from support.tables import print_json, print_table

MIB = 1 << 20
MEMORY_BAR, TIME_BAR = 0.20, 0.35
QWEN = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B")
PRETRAINING = ("--tokenizer", "tr32k", "--eval-bytes", "4000")
NEW_ROWS = 32_000
COLUMNS = ("run", "MiB est.", "MiB", "ratio", "s est.", "CPU s", "ratio", "wall s", "bars")


def main() -> None:
    chosen = _flags()
    if chosen.qwen:
        _qwen(chosen)
        return
    wanted = [
        (f"{verb} {size}", arguments)
        for size in chosen.sizes
        for verb, arguments in _commands(chosen, size)
    ]
    rows = [_row(chosen, *one) for one in wanted if not chosen.only or one[0] in chosen.only]
    print(heading("python benchmarks/estimate.py"))
    print_table(COLUMNS, rows)
    print_json(rows)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--data", type=Path, help="instructions; the bundled ones by default")
    parser.add_argument("--work", type=Path, default=Path("estimate-work"))
    parser.add_argument("--sizes", nargs="+", default=["quick", "mini", "30M"])
    parser.add_argument("--tokens", type=int, default=80_000, help="budget of pretraining")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--trial-seconds", type=float, default=20.0)
    parser.add_argument("--core", type=int, help="hold every process to this core (Linux)")
    parser.add_argument("--only", nargs="+", help="rows by their names: 'pretrain quick', ...")
    parser.add_argument("--qwen", action="store_true")
    chosen = parser.parse_args()
    if not chosen.qwen and chosen.corpus is None:
        parser.error("give a corpus artifact, or --qwen")
    if chosen.data is None:
        from dilmac.core import bundled_instructions

        chosen.data = bundled_instructions()[0]
    return chosen


def _commands(chosen: argparse.Namespace, size: str) -> list[tuple[str, list[str]]]:
    """The verbs of a size, and their arguments."""
    shape = ["--params", size] if size[0].isdigit() else ["--preset", size]
    budget = ["--tokens", str(chosen.tokens), "--corpus", str(chosen.corpus)]
    commands = [("pretrain", ["pretrain", *shape, *budget, *PRETRAINING])]
    for method in _methods():
        flags = ["--model", str(chosen.work / f"random-{size}"), "--data", str(chosen.data)]
        flags += ["--method", method, "--epochs", "1", "--batch-size", str(chosen.batch_size)]
        commands.append((f"finetune {method}", ["finetune", *flags]))
    return commands


def _make_model(folder: Path, size: str) -> None:
    """A random model of the size, for fine-tuning."""
    if folder.exists():
        return
    from transformers import LlamaForCausalLM

    from dilmac.models import preset_named, save_model, shape_for
    from dilmac.tokenizer import Tokenizer, copy_tokenizer, pretrained_path

    tokenizer = pretrained_path("tr32k")
    rows = len(Tokenizer(tokenizer))
    shape = shape_for(size, rows) if size[0].isdigit() else preset_named(size)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    save_model(LlamaForCausalLM(shape.shape_config(rows)), partial)
    copy_tokenizer(tokenizer, partial)
    try:
        partial.rename(folder)
    except OSError:  # another row has made it meanwhile
        shutil.rmtree(partial)


def _methods() -> list[str]:
    known = str(FinetuneConfig.model_fields["method"].annotation)
    return [method for method in ("lora", "full", "qlora") if f"'{method}'" in known]


def _row(chosen: argparse.Namespace, name: str, arguments: list[str]) -> list[Any]:
    """The estimate and the real run; kept on disk, so that a benchmark goes on where it ended."""
    kept = chosen.work / f"{name.replace(' ', '-')}.json"
    if kept.is_file():
        row: list[Any] = json.loads(kept.read_text(encoding="utf-8"))
        return row
    chosen.work.mkdir(parents=True, exist_ok=True)
    if arguments[0] == "finetune":
        _make_model(Path(arguments[2]), name.rpartition(" ")[2])
    trial = ["--trial-seconds", str(chosen.trial_seconds)]
    estimated = json.loads(_run(chosen, ["estimate", *arguments, *trial, "--json"])["stdout"])
    stage = estimated["stages"][arguments[0]]
    out = chosen.work / f"out-{kept.stem}"
    real = _run(chosen, [*arguments, "--out", str(out), "--force", "--json"])
    shutil.rmtree(out, ignore_errors=True)
    memory, seconds = stage["memory_bytes"] / real["peak_bytes"], stage["seconds"] / real["cpu"]
    met = [abs(memory - 1) <= MEMORY_BAR, abs(seconds - 1) <= TIME_BAR]
    row = [
        name,
        round(stage["memory_bytes"] / MIB),
        round(real["peak_bytes"] / MIB),
        round(memory, 3),
        stage["seconds"],
        round(real["cpu"], 1),
        round(seconds, 3),
        round(real["wall"], 1),
        "met"
        if all(met)
        else "missed: "
        + " and ".join(what for what, ok in zip(("memory", "time"), met, strict=True) if not ok),
    ]
    record = {"row": row, "estimated": stage, "real": {k: real[k] for k in real if k != "stdout"}}
    kept.with_suffix(".full.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    kept.write_text(json.dumps(row), encoding="utf-8")
    print(row, file=sys.stderr, flush=True)
    return row


def _run(chosen: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """A `dilmac` command in a process of its own; its peak, its CPU seconds, its output."""

    def hold() -> None:
        if chosen.core is not None:
            os.sched_setaffinity(0, {chosen.core})

    log = chosen.work / f"log-{os.getpid()}.txt"
    began = time.monotonic()
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "dilmac", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=hold,  # noqa: PLW1509  (nothing else runs in this process)
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        output = child.stdout.read() if child.stdout else b""
        _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)}: {log.read_text(encoding='utf-8')[-2000:]}")
    return {
        "stdout": output.decode(),
        "peak_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.monotonic() - began,
    }


def _qwen(chosen: argparse.Namespace) -> None:
    """Extend, heal and fine-tune by QLoRA on a card of 24 GB, counted."""
    from dilmac.estimate import RecipeEstimateConfig, estimate_recipe
    from dilmac.models import gib

    del chosen
    print(heading("python benchmarks/estimate.py --qwen"))
    rows = []
    for model in QWEN:
        recipe = Path(f"estimate-{model.rpartition('/')[2]}.json")  # JSON is YAML
        recipe.write_text(json.dumps(_life(model)), encoding="utf-8")
        try:
            figures = estimate_recipe(RecipeEstimateConfig(recipe=recipe, device="rtx4090"))
        finally:
            recipe.unlink()
        for name, stage in figures["stages"].items():
            if stage["fits"] is not None:
                peak = stage["memory_bytes"]
                rows.append([model, name, gib(peak), "fits" if stage["fits"] else "does not"])
        rows += _qlora(model, figures["device_memory_bytes"])
    print_table(("model", "stage", "peak", "24 GiB"), rows)
    print_json(rows)


def _qlora(model: str, memory: int) -> list[list[Any]]:
    """The extended model under QLoRA: an example of 1,024 tokens at once, checkpointed."""
    from dilmac.estimate.devices import CUDA_BASE_BYTES
    from dilmac.estimate.facts import FULL_ROWS, shape_of
    from dilmac.models import find_entry, gib
    from dilmac.training import USABLE_SHARE, finetuning_bytes

    entry = find_entry(model)
    assert entry is not None
    rows = []
    for what, changed in (
        ("adapters alone", {"train_embeddings": False}),
        ("and new rows", {"new_rows": NEW_ROWS}),
        ("and all rows", {}),
    ):
        count = finetuning_bytes(
            shape_of(entry),
            FULL_ROWS + NEW_ROWS,
            1024,
            context=1024,
            method="qlora",
            checkpointing=True,
            device="cuda",
            **changed,  # type: ignore[arg-type]
        )
        fits = count.total <= USABLE_SHARE * memory
        peak = gib(count.total + CUDA_BASE_BYTES)
        rows.append([model, f"qlora, {what}", peak, "fits" if fits else "does not"])
    return rows


def _life(model: str) -> dict[str, Any]:
    window = {"context": 1024, "micro_batch_tokens": 1024, "gradient_checkpointing": True}
    heal = {"verb": "heal", "model": "@qwen", "corpus": "texts", "tokens": "50M", **window}
    return {
        "out": "estimate-qwen",
        "stages": {
            "tokenizer": {"verb": "tokenizer extend", "corpus": "texts", "base": model},
            "qwen": {"verb": "transplant", "model": model, "tokenizer": "@tokenizer"},
            "heal-rows": {**heal, "train": "rows"},
            "heal-lora-16": {**heal, "train": "lora", "lora_rank": 16},
            "heal-lora-64": {**heal, "train": "lora"},
        },
    }


if __name__ == "__main__":
    main()
