"""The most memory that a run of transformers' Trainer has held."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from dilmac.training.precision import training_device
from dilmac.training.throughput import memory_bytes


class PeakMemory(TrainerCallback):  # type: ignore[misc]
    """Looks after every step: on a GPU at the most that tensors held, else at the process.

    A step's memory stays with the process on a CPU (`keep_freed_memory`), so that what is seen
    after the step is what it took.
    """

    def __init__(self) -> None:
        self.num_bytes = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._look()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._look()

    def _look(self) -> None:
        self.num_bytes = max(self.num_bytes, memory_bytes(training_device()))
