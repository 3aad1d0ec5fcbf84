"""The peer: Hugging Face's Trainer on the same Llama and the same tokens, tokenized beforehand.

As its users would set it: bf16, torch.compile, fused AdamW, rows of ids in memory, labels that are
the inputs (the model shifts them).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from dilmac.core import num_cpus
from dilmac.training.allocator import keep_freed_memory
from dilmac.training.token_file import TokenFile, open_tokens
from support.our_steps import paced

Figures = dict[str, Any]
WARMUP_SHARE = 0.05


class Rows(Dataset):  # type: ignore[misc]
    """Windows of `context` tokens, one after another; from the first again after the last."""

    def __init__(self, tokens: TokenFile, context: int, length: int | None = None):
        count = tokens.num_tokens // context
        kind = np.uint16 if tokens.dtype == "uint16" else np.uint32
        ids: NDArray[Any] = tokens.read(0, count * context).astype(kind)
        self.rows = ids.reshape(count, context)
        self.length = length or count

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self.rows[place % len(self.rows)].astype(np.int64))
        return {"input_ids": ids, "labels": ids}


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Times from the end of one optimizer step to the end of the next, loading included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._last = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


class LossLog(TrainerCallback):  # type: ignore[misc]
    """Keeps what the Trainer logs."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


def new_model(config: dict[str, Any], seed: int) -> LlamaForCausalLM:
    """A Llama of that config, drawn from the seed."""
    set_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**config))


def arguments_for(settings: Figures, out: Path, **others: Any) -> TrainingArguments:
    """The Trainer's arguments: batch and micro-batch in tokens, steps, and the highest rate."""
    micro_rows = max(1, settings["micro_batch_tokens"] // settings["context"])
    rows = max(1, settings["batch_tokens"] // settings["context"])
    micro_rows = min(micro_rows, rows)
    values = {
        "output_dir": str(out),
        "max_steps": settings["steps"],
        "per_device_train_batch_size": micro_rows,
        "gradient_accumulation_steps": max(1, rows // micro_rows),
        "learning_rate": settings["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, round(settings["steps"] * WARMUP_SHARE)),
        "weight_decay": 0.1,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "bf16": settings.get("precision", "bf16") == "bf16",
        "torch_compile": settings.get("compile", True),
        "dataloader_num_workers": 0,
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
        "seed": settings.get("seed", 42),
    }
    return TrainingArguments(**(values | others))


def time_trainer(settings: Figures) -> Figures:
    """Seconds of each of the Trainer's steps; the counterpart of `time_ours`."""
    torch.set_num_threads(num_cpus())
    if settings.get("keep_freed_memory"):
        keep_freed_memory()
    context = settings["context"]
    rows = max(1, settings["batch_tokens"] // context)
    data = Rows(open_tokens(Path(settings["tokens"])), context, settings["steps"] * rows)
    model = new_model(settings["model_config"], 42)
    clock, log = StepClock(), LossLog()
    trainer = Trainer(
        model=model,
        args=arguments_for(
            settings, Path(settings["out"]), logging_strategy="steps", logging_steps=1
        ),
        train_dataset=data,
        callbacks=[clock, log],
    )
    trainer.train()
    figures = paced(clock.seconds, settings["warm_steps"], rows * context)
    parameters = sum(p.numel() for p in model.parameters())
    return figures | {"parameters": parameters, "losses": log.losses}
