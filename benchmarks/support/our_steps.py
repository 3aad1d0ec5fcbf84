"""dilmac's side of a comparison of speed: the steps of the pretraining loop, timed.

Parts of it can be switched off one at a time, to see what each of them buys.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F

import dilmac.training.loop as loop_module
import dilmac.training.loss as loss_module
import dilmac.training.run as run_module
from dilmac.training import PretrainConfig
from dilmac.training.ranks import Ranks
from dilmac.training.throughput import matmul_parameters, memory_bytes
from dilmac.training.windows import IGNORED

Figures = dict[str, Any]


def time_ours(settings: Figures) -> Figures:
    """Seconds of each step of a run of `settings["config"]`, with the switches set.

    `switches`: names in SWITCHES. `chunk_bytes`: logits that exist at once, on any device. `steps`
    and `warm_steps` count optimizer steps.
    """
    for name in settings.get("switches", ()):
        SWITCHES[name]()
    if size := settings.get("chunk_bytes"):
        for limits in (loss_module.CHUNK_BYTES, loss_module.CACHED_BYTES):
            limits.update(dict.fromkeys(limits, size))
    losses = _recorded_losses()
    config = PretrainConfig(**settings["config"])
    with Ranks(config.parallel) as ranks, tempfile.TemporaryDirectory() as folder:
        run = run_module.prepare(config, ranks, Path(folder), num_steps=settings["steps"])
        seconds = loop_module.time_steps(run)
        figures = {
            "parameters": sum(p.numel() for p in run.model.parameters()),
            "matmul_parameters": matmul_parameters(run.model.config),
            "flops_per_token": run.pace.flops_per_token,
            "peak_flops": run.pace.peak.flops,
            "peak_source": run.pace.peak.source,
            "precision": run.precision,
            "device_memory_bytes": memory_bytes(ranks.device),
        }
        step_tokens = run.step_tokens
    return figures | paced(seconds, settings["warm_steps"], step_tokens) | {"losses": losses}


def paced(seconds: list[float], warm_steps: int, step_tokens: int) -> Figures:
    """Median time of a step after the warm ones, and the tokens a second that it makes."""
    timed = seconds[warm_steps:]
    median = statistics.median(timed)
    return {
        "step_tokens": step_tokens,
        "step_seconds": median,
        "fastest_step_seconds": min(timed),
        "slowest_step_seconds": max(timed),
        "timed_steps": len(timed),
        "warm_seconds": sum(seconds[:warm_steps]),
        "tokens_per_second": step_tokens / median,
    }


def _recorded_losses() -> list[float]:
    """Gathers the loss of every step: both sides must do the same work."""
    losses: list[float] = []
    attempt = loop_module._attempt

    def recording(*args: Any) -> Any:
        made = attempt(*args)
        losses.append(made[0].loss)
        return made

    loop_module._attempt = recording
    return losses


def _whole_logits() -> None:
    """The usual way: all logits of a micro-batch at once, in fp32 for the loss."""

    def summed(hidden: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = (hidden @ rows.t()).float()
        return F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")

    compiled_sum = torch.compile(summed)

    def apply(
        hidden: torch.Tensor,
        rows: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype,
        compiled: bool,
    ) -> torch.Tensor:
        core = compiled_sum if compiled else summed
        loss: torch.Tensor = core(hidden.to(dtype), rows.to(dtype), targets)
        return loss

    loss_module.ChunkedCrossEntropy = SimpleNamespace(apply=apply)


def _fp32_residual() -> None:
    """The residual stream in fp32, as autocast leaves it."""
    init = loss_module.TrainedModel.__init__

    def with_fp32_stream(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        trunk = self._run

        def run(*, inputs_embeds: torch.Tensor, **others: Any) -> Any:
            return trunk(inputs_embeds=inputs_embeds.float(), **others)

        self._run = run

    loss_module.TrainedModel.__init__ = with_fp32_stream


def _own_allocator() -> None:
    """glibc's malloc as it comes."""
    run_module.keep_freed_memory = lambda: False


SWITCHES: dict[str, Callable[[], None]] = {
    "whole logits": _whole_logits,
    "fp32 residual stream": _fp32_residual,
    "allocator as it comes": _own_allocator,
}
