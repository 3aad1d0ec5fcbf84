"""A few steps of a run on random ids: what a step takes, before there is a corpus or a tokenizer.

The loop, the loss and the optimizers are those of the run itself; what a step takes does not depend
on which ids it reads.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from dilmac.core import own_seconds
from dilmac.evaluate import measured_windows
from dilmac.training.config import PretrainConfig
from dilmac.training.heldout import SAMPLE_TOKENS
from dilmac.training.loop import time_step
from dilmac.training.precision import DTYPES
from dilmac.training.ranks import Ranks
from dilmac.training.run import Run, ready, settle
from dilmac.training.student import Student
from dilmac.training.windows import Batch

TIMED_STEPS = 4
SHORT_TOKENS = 8  # of a continuation that is timed; the run writes `SAMPLE_TOKENS`


class RandomWindows:
    """In place of `Windows`: rows of ids that are drawn anew for every step."""

    def __init__(self, context: int, num_rows: int, seed: int = 0):
        self.context, self.num_rows, self.seed = context, num_rows, seed

    def batch(self, step: int, batch_size: int, *, rank: int = 0, num_ranks: int = 1) -> Batch:
        """Rows as `Windows.batch` gives them, int64 `[rows, context]`."""
        shape = (len(range(rank, batch_size, num_ranks)), self.context + 1)
        ids = np.random.default_rng([self.seed, step, rank]).integers(0, self.num_rows, shape)
        return Batch(ids[:, :-1], ids[:, 1:])


class RowsAlone:
    """In place of a tokenizer: a vocabulary of so many rows, without a text."""

    control_tokens: dict[str, int] = {}  # noqa: RUF012  (never changed)
    document_start_id = 0

    def __init__(self, num_rows: int):
        self.num_rows = num_rows

    def __len__(self) -> int:
        return self.num_rows

    def require_fit(self, num_rows: int) -> None:
        """Whatever the model has, fits."""


@dataclass(frozen=True)
class Trial:
    """What was timed; a figure is None where the time did not suffice for it.

    A step of `n` micro-batches takes `step_seconds + (n - 1) * micro_seconds`.
    """

    precision: str
    micro_tokens: int  # in memory at once
    num_micro_batches: int  # of a step
    step_seconds: float  # of a step of one micro-batch
    micro_seconds: float  # of every further one
    num_timed: int  # steps of which `step_seconds` is the median
    forward_seconds: float | None  # of a token of held-out text
    sample_seconds: float | None  # of one continuation at the end
    peak_bytes: int  # of the process while it trained, what it held before included
    measuring_peak_bytes: int | None  # the same while it measured


def time_trial(
    config: PretrainConfig,
    student: Student,
    *,
    num_rows: int,
    folder: Path,
    max_seconds: float,
) -> Trial:
    """Open the model as the run would, and time steps for about `max_seconds`, one at least.

    `num_rows` are those of the vocabulary, of which the ids are drawn. What is written goes into
    `folder`. Nothing is compiled.

    Raises:
        DilmacError: the model cannot be opened, or settings do not fit together.
    """
    without_text = {"corpus": folder / "no-corpus", "more_corpora": (), "compile": "off"}
    config = config.model_copy(update=without_text)
    with Ranks(config.parallel) as ranks:
        tokenizer = cast("Any", RowsAlone(num_rows))
        frame = settle(config, ranks, student, tokenizer)
        windows = cast("Any", RandomWindows(frame.context, num_rows, config.seed))
        run = ready(config, ranks, frame, windows, student=student, folder=folder, num_steps=1000)
        with run.memory_explained():
            return _timed(run, own_seconds() + max_seconds)


def _timed(run: Run, ends: float) -> Trial:
    asked, micro = run.batch_size // run.ranks.num_ranks, run.micro_batch_size
    peak = _Peak(run.ranks.device)
    run.model.train()
    run.batch_size = micro
    seconds = [_own(lambda: time_step(run, 0))]  # one, however long it takes
    seconds += _times(lambda step: _own(lambda: time_step(run, step + 1)), ends, TIMED_STEPS)
    timed = seconds[1:] or seconds  # the first one also warms up
    one = two = statistics.median(timed)
    if asked > micro:
        run.batch_size = 2 * micro
        if more := _times(lambda step: _own(lambda: time_step(run, step + 100)), ends, 2):
            two = min(more)
    trained = peak.read()
    run.model.eval()
    peak = _Peak(run.ranks.device)
    forward = _times(lambda _: _own(lambda: _measure(run)), ends, 2)
    measured = peak.read() if forward else None
    sample = _times(lambda _: _own(lambda: _continue(run)), ends, 2)
    return Trial(
        precision=run.precision,
        micro_tokens=micro * run.windows.context,
        num_micro_batches=-(-asked // micro),
        step_seconds=one,
        micro_seconds=two - one if two > one else one,
        num_timed=len(timed),
        forward_seconds=forward[-1] / _measured_tokens(run) if forward else None,
        sample_seconds=sample[-1] * SAMPLE_TOKENS / SHORT_TOKENS if sample else None,
        peak_bytes=trained,
        measuring_peak_bytes=measured,
    )


def _times(timed: Callable[[int], float], ends: float, most: int) -> list[float]:
    """What at most so many calls took; none begins past the end, or would end past it."""
    seconds: list[float] = []
    while len(seconds) < most and own_seconds() + (seconds[-1:] or [0.0])[0] < ends:
        seconds.append(timed(len(seconds)))
    return seconds


def _measured_tokens(run: Run) -> int:
    rows = run.model.get_input_embeddings().num_embeddings
    return measured_windows(rows, run.windows.context) * run.windows.context


def _own(work: Callable[[], Any]) -> float:
    """Seconds of some work, without those in which it waited for a core."""
    began = own_seconds()
    work()
    return own_seconds() - began


def _measure(run: Run) -> None:
    """One batch of held-out text, as `measure_bits` reads it."""
    context, device = run.windows.context, run.ranks.device
    batch = run.windows.batch(0, _measured_tokens(run) // context)
    ids, aims = (torch.from_numpy(part).to(device) for part in (batch.input_ids, batch.targets))
    enabled = run.precision != "fp32"
    with (
        torch.inference_mode(),
        torch.autocast(device.type, dtype=DTYPES[run.precision], enabled=enabled),
    ):
        logits = run.model(input_ids=ids, use_cache=False).logits.flatten(0, 1)
        everything = torch.ones(len(logits), dtype=torch.bool, device=device)
        torch.nn.functional.cross_entropy(logits[everything].float(), aims.flatten()).item()


def _continue(run: Run) -> None:
    """A short continuation."""
    ids = torch.zeros(1, 4, dtype=torch.long, device=run.ranks.device)
    with torch.inference_mode():
        run.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            min_new_tokens=SHORT_TOKENS,
            max_new_tokens=SHORT_TOKENS,
        )


class _Peak:
    """The most memory from here on: a GPU's of tensors, else the process's [bytes]."""

    def __init__(self, device: torch.device):
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with contextlib.suppress(OSError):  # Linux alone can forget it
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def read(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return peak_of_process()


def peak_of_process() -> int:
    """The most RAM that this process has held since it began, or since that was forgotten [bytes].

    Where the system does not tell, what it holds now.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.Process().memory_info().rss)
