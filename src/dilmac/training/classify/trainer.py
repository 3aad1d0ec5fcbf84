"""Classification by transformers' Trainer: best checkpoint, early stopping, class weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments

from dilmac.core import Events, Steps
from dilmac.evaluate import classification_figures, padded
from dilmac.training.classify.config import ClassifyConfig
from dilmac.training.classify.data import Row
from dilmac.training.peak import PeakMemory
from dilmac.training.precision import on_one_device, resolve_precision, training_device
from dilmac.training.tune.watch import Watcher

BEST_BY = "f1_macro"
# Usual beginnings for models of this size; a model of billions takes a tenth.
LEARNING_RATES = {"full": 3e-4, "lora": 1e-3, "qlora": 1e-3}


def class_weights(rows: Sequence[Row], num_labels: int) -> torch.Tensor:
    """Weights `[labels]` with which every label counts the same: n / (labels × its texts)."""
    counts = Counter(row.label for row in rows)
    return torch.tensor([len(rows) / (num_labels * counts[place]) for place in range(num_labels)])


def make_trainer(
    model: Any,
    train: Sequence[Row],
    validation: Sequence[Row],
    *,
    labels: Sequence[str],
    config: ClassifyConfig,
    folder: Path,
    pad_id: int,
) -> tuple[Trainer, PeakMemory]:
    """The trainer, ready to run, and what watches its memory."""
    peak = PeakMemory()
    watching: list[Any] = [Observer(Events(folder / "events.jsonl")), peak]
    if validation and config.patience:
        watching.append(EarlyStoppingCallback(config.patience))
    weights = class_weights(train, len(labels)) if config.class_weights == "balanced" else None
    trainer = Trainer(
        model=model,
        args=_arguments(config, folder, len(train), measured=bool(validation)),
        data_collator=_Collator(pad_id),
        train_dataset=[vars(row) for row in train],
        eval_dataset=[vars(row) for row in validation] if validation else None,
        compute_loss_func=_loss(weights),
        compute_metrics=lambda found: _metrics(found, labels),
        callbacks=watching,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, peak


def _arguments(
    config: ClassifyConfig, folder: Path, num_rows: int, *, measured: bool
) -> TrainingArguments:
    device = training_device()
    precision = resolve_precision(config.precision, device)
    steps = config.checkpoint_steps or -(-num_rows // config.batch_size)
    arguments = TrainingArguments(
        # Absolute: checkpoints name the best one by it, and a run may go on from another folder.
        output_dir=str((folder / "checkpoints").absolute()),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        learning_rate=config.learning_rate or LEARNING_RATES[config.method],
        warmup_steps=config.warmup_share,
        lr_scheduler_type="cosine",
        max_grad_norm=1.0,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device.type == "cpu",
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        save_strategy="steps",
        save_steps=steps,
        save_total_limit=2,
        eval_strategy="steps" if measured else "no",
        eval_steps=steps,
        load_best_model_at_end=measured,
        metric_for_best_model=BEST_BY if measured else None,
        greater_is_better=True if measured else None,
        restore_callback_states_from_checkpoint=True,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device.type == "cuda",
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        label_names=["labels"],
    )
    return on_one_device(arguments)


class _Collator:
    """Rows of a batch as tensors `[texts, length]` and labels `[texts]`."""

    def __init__(self, pad_id: int):
        self.pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, mask = padded([row["input_ids"] for row in rows], self.pad_id)
        labels = torch.tensor([row["label"] for row in rows])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _loss(weights: torch.Tensor | None) -> Callable[..., torch.Tensor]:
    """Cross-entropy of a batch, its mean weighted by the labels' weights."""

    def loss(outputs: Any, labels: torch.Tensor, **_: Any) -> torch.Tensor:
        logits = outputs["logits"].float()
        scale = weights.to(logits.device) if weights is not None else None
        return F.cross_entropy(logits, labels, weight=scale)

    return loss


def _metrics(found: Any, labels: Sequence[str]) -> dict[str, float]:
    figures = classification_figures(found.label_ids, found.predictions.argmax(axis=-1), labels)
    return {name: figures[name] for name in ("accuracy", BEST_BY)}


class Observer(Watcher):
    """Watcher of a classification: it records measurements, and has the last step measured."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.events.cut_after(state.global_step)
        self.steps = Steps(
            "classify", total=state.max_steps, done=state.global_step, unit="steps"
        ).__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps and args.eval_strategy != "no":
            control.should_evaluate = control.should_save = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **_: Any) -> None:
        if self.steps:
            named = {"loss": "eval_loss", "accuracy": "eval_accuracy", BEST_BY: f"eval_{BEST_BY}"}
            values = {name: round(float(metrics[key]), 4) for name, key in named.items()}
            self.events.write("validation", step=state.global_step, **values)
