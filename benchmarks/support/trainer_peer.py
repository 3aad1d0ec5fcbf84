"""The peer: Hugging Face's Trainer on the same Llama and the same tokens, tokenized beforehand.

As its users would set it: bf16, torch.compile, fused AdamW, rows of ids in memory, labels that are
the inputs (the model shifts them).
"""

from __future__ import annotations

import shutil
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
from transformers.trainer_utils import get_last_checkpoint

from dilmac.core import num_cpus
from dilmac.tokenizer import copy_tokenizer
from dilmac.training.allocator import keep_freed_memory
from dilmac.training.token_file import TokenFile, open_tokens
from support.children import progress
from support.our_steps import paced

Figures = dict[str, Any]
WARMUP_SHARE = 0.05
SEED = 42


class Rows(Dataset):  # type: ignore[misc]
    """Windows of `context` tokens in a new order each epoch, `length` of them over all epochs.

    The epochs are laid out here, so that the Trainer sees one: at the border of its own epochs it
    would take smaller steps.
    """

    def __init__(self, tokens: TokenFile, context: int, length: int, seed: int):
        count = tokens.num_tokens // context
        kind = np.uint16 if tokens.dtype == "uint16" else np.uint32
        ids: NDArray[Any] = tokens.read(0, count * context).astype(kind)
        self.rows = ids.reshape(count, context)
        epochs = range(-(-length // count))
        orders = [np.random.default_rng([seed, epoch]).permutation(count) for epoch in epochs]
        self.order = np.concatenate(orders)[:length]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self.rows[self.order[place]].astype(np.int64))
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
    """Keeps the losses that the Trainer logs; with `shows` a line for each of them."""

    def __init__(self, *, shows: bool = False) -> None:
        self.losses: list[float] = []
        self.shows = shows
        self._started = time.monotonic()
        self._first: int | None = None

    def on_log(
        self, _: Any, state: Any, *__: Any, logs: dict[str, float] | None = None, **___: Any
    ) -> None:
        if not logs or "loss" not in logs:
            return
        self.losses.append(float(logs["loss"]))
        if self._first is None:
            self._first, self._started = state.global_step, time.monotonic()
        elif self.shows:
            done = state.global_step - self._first
            left = (time.monotonic() - self._started) / done * (state.max_steps - state.global_step)
            progress(
                f"HF Trainer: step {state.global_step:,} of {state.max_steps:,}, "
                f"loss {logs['loss']:.3f}, {left / 60:,.0f} minutes left"
            )


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
        "train_sampling_strategy": "sequential",  # `Rows` has shuffled
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
        "seed": SEED,
    }
    return TrainingArguments(**(values | others))


def time_trainer(settings: Figures) -> Figures:
    """Seconds of each of the Trainer's steps; the counterpart of `time_ours`."""
    torch.set_num_threads(num_cpus())
    if settings.get("keep_freed_memory"):
        keep_freed_memory()
    context = settings["context"]
    rows = max(1, settings["batch_tokens"] // context)
    data = Rows(open_tokens(Path(settings["tokens"])), context, settings["steps"] * rows, SEED)
    model = new_model(settings["model_config"], SEED)
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


def train_baseline(settings: Figures) -> Figures:
    """Train the Trainer's model to the end and save it; it goes on at its last checkpoint.

    `settings` are those of `time_trainer` and `save_steps`, `tokenizer`; the model folder `out` is
    complete when it is there.
    """
    torch.set_num_threads(num_cpus())
    out = Path(settings["out"])
    checkpoints = out.with_name(f".{out.name}.checkpoints")
    context = settings["context"]
    rows = max(1, settings["batch_tokens"] // context)
    model = new_model(settings["model_config"], SEED)
    trainer = Trainer(
        model=model,
        args=arguments_for(
            settings,
            checkpoints,
            save_strategy="steps",
            save_steps=settings["save_steps"],
            save_total_limit=1,
            logging_strategy="steps",
            logging_steps=settings.get("logging_steps", 20),
        ),
        train_dataset=Rows(
            open_tokens(Path(settings["tokens"])), context, settings["steps"] * rows, SEED
        ),
        callbacks=[LossLog(shows=True)],
    )
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    partial = out.with_name(f".{out.name}.partial")
    model.save_pretrained(partial)
    copy_tokenizer(Path(settings["tokenizer"]), partial)
    partial.rename(out)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {"steps": settings["steps"], "tokens": settings["steps"] * rows * context}
