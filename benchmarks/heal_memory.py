"""Claim: an 8-billion model heals on one 24 GB GPU, since old rows and layers stay frozen in bf16.

    python benchmarks/heal_memory.py [--width 512] [--layers 8] [--precision fp32] [--work DIR]

It counts Qwen3-8B's shape with 32,000 new rows (`healing_bytes`), and measures a smaller shape with
the same vocabulary: for `rows`, `lora` and `all` the peak of two steps of `dilmac heal`'s own loop,
each in a process of its own, beside what is counted for it. On a CPU the peak is of resident memory
above what the process had before the model; on a GPU it is the allocator's. The model is random,
made here, and deleted. With a 24 GB GPU: `--width 4096 --layers 36 --precision bf16`.
"""

from __future__ import annotations

import argparse
import gc
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from dilmac.models import Preset, save_model
from dilmac.training import resolve_precision, training_device
from dilmac.training.optimize import Optimizers
from dilmac.transplant import HealConfig
from dilmac.transplant.heal.memory import healing_bytes
from dilmac.transplant.heal.patient import Patient
from support.children import add_child_flags, answer, run_child
from support.measuring import heading
from support.tables import print_json, print_table

OLD_ROWS, NEW_ROWS = 151_936, 32_000
QWEN3_8B = Preset(
    architecture="qwen3",
    hidden_size=4096,
    intermediate_size=12_288,
    num_layers=36,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
    context=40_960,
    tied=False,
)
STEPS = 2
GB = 1e9


def main() -> None:
    chosen = _flags()
    if answer(chosen, _measure):
        return
    folder = chosen.work / "model"
    try:
        _make(chosen, folder)
        rows = [_measured(chosen, folder, train) for train in ("rows", "lora", "all")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(heading("python benchmarks/heal_memory.py"))
    print_table(
        ("8B, counted, GB", "weights", "gradients", "moments", "rest", "in all"), _counted()
    )
    print_table(
        ("trained", "numbers trained", "counted GB", "measured GB", "measured / counted"), rows
    )
    print_json(rows)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--precision", default="auto", choices=("auto", "bf16", "fp32"))
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=512, help="in memory at once")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("heal-memory"))
    add_child_flags(parser)
    return parser.parse_args()


def _counted() -> list[list[Any]]:
    found = []
    for train, rank in (("rows", 0), ("lora", 16), ("lora", 64), ("all", 0)):
        count = healing_bytes(
            QWEN3_8B,
            OLD_ROWS + NEW_ROWS,
            NEW_ROWS,
            train=train,  # type: ignore[arg-type]
            lora_rank=rank,
            micro_tokens=1024,
            context=1024,
            checkpointing=True,
        )
        rest = count.copies + count.activations + count.logits
        parts = (count.weights, count.gradients, count.optimizer, rest, count.total)
        name = f"{train}, rank {rank}" if rank else train
        found.append([name, *(round(part / GB, 1) for part in parts)])
    return found


def _shape(settings: dict[str, Any]) -> Preset:
    width = settings["width"]
    return QWEN3_8B.model_copy(
        update={
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_layers": settings["layers"],
            "num_heads": width // 128,
            "num_kv_heads": max(1, width // 512),
        }
    )


def _make(chosen: argparse.Namespace, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = _shape(vars(chosen)).shape_config(OLD_ROWS + NEW_ROWS)
    if not isinstance(config, Qwen3Config):
        raise AssertionError("the shape is Qwen3's")
    save_model(Qwen3ForCausalLM(config), folder, torch.bfloat16)


def _measured(chosen: argparse.Namespace, folder: Path, train: str) -> list[Any]:
    names = ("width", "layers", "precision", "rank", "tokens", "checkpointing")
    settings = {name: getattr(chosen, name) for name in names}
    settings |= {"train": train, "folder": str(folder)}
    found = run_child(__file__, settings, chosen.work / "logs", train)
    share = found["peak"] / found["counted"]
    return [train, found["trained"], found["counted"] / GB, found["peak"] / GB, share]


class _Fits:
    """In place of a tokenizer: its vocabulary is the model's."""

    def require_fit(self, num_rows: int) -> None:
        assert num_rows == OLD_ROWS + NEW_ROWS


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak(device: torch.device) -> int:
    """The most since it was last forgotten [bytes]."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _measure(settings: dict[str, Any]) -> dict[str, Any]:
    """In a child: two steps, and their peak."""
    device = training_device()
    precision = resolve_precision(settings["precision"], device)
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    config = HealConfig(
        model=Path(settings["folder"]),
        corpus=Path("unused"),
        out=Path("unused"),
        train=settings["train"],
        lora_rank=settings["rank"],
        precision=precision,
        gradient_checkpointing=settings["checkpointing"],
    )
    patient = Patient(config, OLD_ROWS)
    before = _peak(device)
    model: Any = patient.open(config.as_pretraining({}), _Fits())  # type: ignore[arg-type]
    if settings["checkpointing"]:
        model.activation_checkpointing_enable({"use_reentrant": False})
    model.to(device)
    wrapped = patient.wrap(model, dtype, False)
    gc.collect()
    optimizers = Optimizers(model, "adamw", weight_decay=0.0, table_rate=1.0)
    _forget_peak(device)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        ids = torch.randint(
            0, OLD_ROWS + NEW_ROWS, (1, settings["tokens"] + 1), generator=generator
        )
        ids = ids.to(device)
        wrapped(ids[:, :-1], ids[:, 1:]).backward()
        optimizers.step(1e-4)
        optimizers.zero_grad()
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    counted = healing_bytes(
        _shape(settings),
        OLD_ROWS + NEW_ROWS,
        NEW_ROWS,
        train=settings["train"],
        lora_rank=settings["rank"],
        micro_tokens=settings["tokens"],
        context=settings["tokens"],
        precision=precision,
        checkpointing=settings["checkpointing"],
        device=device.type,
    )
    return {"peak": _peak(device) - before, "counted": counted.total, "trained": trained}


if __name__ == "__main__":
    main()
