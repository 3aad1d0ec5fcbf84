"""What listens to TRL's trainer: progress, events, whole checkpoints, the best weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from dilmac.core import Events, Steps
from dilmac.training.patience import Patience

WHOLE = "dilmac-whole"  # marks a checkpoint that was written to its end
BEST = "best.safetensors"


class Watcher(TrainerCallback):  # type: ignore[misc]
    """Progress, the record of events, and the mark on whole checkpoints.

    `also` gets every event, too.
    """

    def __init__(self, events: Events, also: Callable[[dict[str, Any]], None] | None = None):
        self.events = events
        self.also = also
        self.steps: Steps | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.events.cut_after(state.global_step)
        self.steps = Steps(
            "finetune", total=state.max_steps, done=state.global_step, unit="steps"
        ).__enter__()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self.steps and logs and "loss" in logs:
            values = {
                "loss": logs["loss"],
                "grad_norm": logs.get("grad_norm"),
                "rate": logs.get("learning_rate"),
            }
            self._write("step", state.global_step, **values)
            self.steps.advance(note=f"loss {logs['loss']:.3f}")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **_: Any) -> None:
        if self.steps:
            self._write("validation", state.global_step, loss=metrics["eval_loss"])

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / WHOLE).touch()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the progress; also where training raised."""
        if self.steps:
            self.steps.__exit__(None, None, None)
            self.steps = None

    def _write(self, kind: str, step: int, **values: Any) -> None:
        self.events.write(kind, step=step, **values)
        if self.also:
            self.also({"event": kind, "step": step, **values})


class BestKeeper(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Keeps the weights of the lowest validation loss of the run, and stops where none comes.

    Checkpoints carry its state, so a resumed run decides as an undisturbed one; weights that were
    kept after the checkpoint are written again, the same.
    """

    def __init__(self, patience: int | None = None):
        self.limit = patience
        self.waiting = Patience(patience).state()
        self.loss: float | None = None
        self.step: int | None = None
        self.is_training = False

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = {"waiting": self.waiting, "loss": self.loss, "step": self.step}
        return {"args": {"patience": self.limit}, "attributes": kept}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.is_training = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.is_training = False

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any, model: Any = None, **_: Any
    ) -> None:
        if not self.is_training:  # measured before the first step, or after the last
            return
        loss = float(metrics["eval_loss"])
        if self.loss is None or loss < self.loss:
            self.loss, self.step = loss, state.global_step
            _write_whole(_trained(model), Path(args.output_dir) / BEST)
        patience = Patience(self.limit)
        patience.load(self.waiting)
        if patience.is_over(loss):
            control.should_training_stop = True
        self.waiting = patience.state()

    def restore(self, model: Any, folder: Path) -> None:
        """Give a model the weights that were kept."""
        kept = load_file(folder / BEST)
        with torch.no_grad():
            for name, parameter in _trained(model).items():
                parameter.copy_(kept[name])


def best_of(trainer: Any) -> BestKeeper:
    """The keeper of a trainer: on resuming, it makes a new one from the checkpoint."""
    callbacks = trainer.callback_handler.callbacks
    return next(callback for callback in callbacks if isinstance(callback, BestKeeper))


def close_progress(trainer: Any) -> None:
    """End the progress of a trainer that raised."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, Watcher):
            callback.close()


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; half-written ones are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / WHOLE).exists():
            whole.append((int(path.name.split("-")[1]), str(path)))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(whole)[1] if whole else None


def _trained(model: Any) -> dict[str, torch.Tensor]:
    """Parameters that are trained, by name; tied ones once."""
    return {name: p.data for name, p in model.named_parameters() if p.requires_grad}


def _write_whole(tensors: dict[str, torch.Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    partial.replace(path)
