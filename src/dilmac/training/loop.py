"""The training loop: steps, measurements, checkpoints. It resumes bit for bit."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from dilmac.core import Figures, Steps, say
from dilmac.evaluate import Bits
from dilmac.training.heldout import HeldOut
from dilmac.training.optimize import trainable
from dilmac.training.pack import document_mask
from dilmac.training.precision import DTYPES
from dilmac.training.resume import load_best, load_checkpoint, save_best, save_checkpoint
from dilmac.training.run import Run
from dilmac.training.schedule import rate_share
from dilmac.training.windows import IGNORED

CHECKPOINTS = "checkpoints"
LEAST_BYTES = 200  # of held-out text of a source that say anything [bytes]


@dataclass(frozen=True)
class StepResult:
    """A step before its gradients are applied."""

    loss: float  # mean over the step's targets [nats per token]
    norm: float  # of the gradients, before clipping
    overflowed: bool = False  # fp16 only: the scale was too high


def train(run: Run) -> Figures:
    """All steps from the last checkpoint on; timings of this process.

    Raises:
        DilmacError: the loss runs away, or the checkpoint is of another run.
    """
    first = _go_on(run)
    if first == 0:
        _measure(run, 0)
    started = time.monotonic() - run.seconds
    run.model.train()
    with Steps(run.student.verb, total=run.num_steps, done=first, unit="steps") as steps:
        for step in range(first, run.last_step):
            began = time.perf_counter()
            result, applied, rate = _attempt(run, step)
            run.pace.add(run.step_tokens, time.perf_counter() - began)
            done = step + 1
            bits = result.loss / math.log(2) / run.bytes_per_token
            if applied:
                _record(run, done, result, bits, rate)
            steps.advance(note=run.pace.note(result.loss, bits))
            if done % run.config.eval_steps == 0 or done == run.num_steps:
                run.stopped_at = done if _gains_nothing(run, _measure(run, done)) else None
            if done % run.config.checkpoint_steps == 0 or done == run.last_step:
                run.seconds, run.mfu = time.monotonic() - started, run.pace.mfu
                _save(run, done)
            if done == run.stopped_at:
                break
    if run.scalars:
        run.scalars.close()
    return {
        "device": str(run.ranks.device),
        "processes": run.ranks.num_ranks,
        "parallel": run.config.parallel if run.ranks.num_ranks > 1 else None,
        "micro_batch_tokens": run.micro_batch_size * run.windows.context,
        "gradient_checkpointing": run.config.gradient_checkpointing,
        "train_seconds": round(run.seconds, 1),
        "tokens_per_second": round(run.last_step * run.step_tokens / max(run.seconds, 1e-9)),
        "mfu": round(run.mfu, 4),
        "peak_flops": run.pace.peak.flops,
        "peak_flops_source": run.pace.peak.source,
    }


def time_steps(run: Run) -> list[float]:
    """Seconds of every step of a run that is thrown away afterwards."""
    run.model.train()
    return [time_step(run, step) for step in range(run.num_steps)]


def time_step(run: Run, step: int) -> float:
    """Seconds of one step."""
    began = time.perf_counter()
    _attempt(run, step)
    return time.perf_counter() - began


def _go_on(run: Run) -> int:
    """Load the last checkpoint; the step to go on at."""
    state = load_checkpoint(run.folder / CHECKPOINTS, run.identity, run.model, run.optimizers)
    first = 0
    if state:
        first = int(state["step"])
        run.guard.load(state["guard"])
        run.watch.load(state["watch"])
        run.patience.load(state["patience"])
        run.stopped_at = state["stopped_at"]
        run.num_skipped, run.seconds, run.mfu = (
            state[name] for name in ("num_skipped", "seconds", "mfu")
        )
        _go_on_with_scale(run, state)
        say(f"{run.student.verb}: going on at step {first:,}")
    if run.ranks.is_main:
        # Before the first checkpoint nothing stays, not even what was measured at step 0.
        run.events.cut_after(first or -1)
    run.open_scalars(first)
    return first


def _go_on_with_scale(run: Run, state: dict[str, Any]) -> None:
    """Another machine may calculate otherwise (`auto`); the scale of fp16 then begins anew."""
    if state["precision"] != run.precision:
        say(
            f"{run.student.verb}: the run was in {state['precision']} up to here; this machine "
            f"goes on in {run.precision}, so the result is not that of one machine bit for bit"
        )
    if run.scale and state["scale"]:
        run.scale.load(state["scale"])


def _state(run: Run, step: int) -> dict[str, Any]:
    return {
        "step": step,
        "identity": run.identity,
        "guard": run.guard.state(),
        "watch": run.watch.state(),
        "patience": run.patience.state(),
        "stopped_at": run.stopped_at,
        "precision": run.precision,
        "scale": run.scale.state() if run.scale else None,
        "num_skipped": run.num_skipped,
        "seconds": run.seconds,
        "mfu": run.mfu,
    }


def _save(run: Run, step: int) -> None:
    save_checkpoint(
        run.folder / CHECKPOINTS,
        _state(run, step),
        run.model,
        run.optimizers,
        writes=run.ranks.is_main,
        keep=run.config.keep_checkpoints,
    )


def _attempt(run: Run, step: int) -> tuple[StepResult, bool, float]:
    """A step: what it found, whether it was applied, and its rate."""
    result = _loss_and_gradients(run, step)
    return result, *_apply(run, step, result)


def _loss_and_gradients(run: Run, step: int) -> StepResult:
    """Forward and backward over this process's rows of the step, in micro-batches.

    Every loss is divided by the targets of the whole step, over all micro-batches and processes,
    so neither accumulation nor the number of processes changes anything.
    """
    ranks, device = run.ranks, run.ranks.device
    batch = run.windows.batch(step, run.batch_size, rank=ranks.rank, num_ranks=ranks.num_ranks)
    inputs, targets = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.targets)
    num_targets = ranks.sum((targets != IGNORED).sum().to(device))
    scale = run.scale.value if run.scale else 1.0
    # Processes' gradients are averaged, the loss is a sum over all: hence their number.
    factor = scale * ranks.num_ranks / num_targets
    size = run.micro_batch_size
    parts = [slice(at, at + size) for at in range(0, len(inputs), size)]
    precise = torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs lack it
    total = torch.zeros((), dtype=precise, device=device)
    for number, part in enumerate(parts):
        extra: dict[str, torch.Tensor] = {}
        if batch.documents is not None and batch.positions is not None:
            documents = torch.from_numpy(batch.documents[part]).to(device)
            extra = {
                "mask": document_mask(documents),
                "positions": torch.from_numpy(batch.positions[part]).to(device),
            }
        with ranks.without_sync(run.wrapped, last=number == len(parts) - 1):
            loss = run.wrapped(inputs[part].to(device), targets[part].to(device), **extra)
            (loss * factor).backward()
        total += loss.detach().to(precise)
    total = ranks.sum(total)
    return _result(run, float(total) / int(num_targets), scale)


def _result(run: Run, loss: float, scale: float) -> StepResult:
    gradients = [p.grad for _, p in trainable(run.model) if p.grad is not None]
    if scale != 1.0:
        torch._foreach_mul_(gradients, 1.0 / scale)
    total = get_total_norm(gradients)
    norm = float(total.full_tensor() if isinstance(total, DTensor) else total)
    # What a lower scale cannot mend is the guard's.
    overflowed = scale > 1.0 and math.isfinite(loss) and not math.isfinite(norm)
    return StepResult(loss, norm, overflowed=overflowed)


def _apply(run: Run, step: int, result: StepResult) -> tuple[bool, float]:
    """Apply the gradients unless the step is an outlier; whether it was, and its rate."""
    config = run.config
    rate = config.learning_rate * rate_share(
        step,
        run.num_steps,
        schedule=config.schedule,
        warmup_share=config.warmup_share,
        final_share=config.final_rate_share,
        decay_share=config.decay_share,
    )
    reason = "fp16 overflow" if result.overflowed else None
    if run.scale:
        run.scale.update(overflowed=result.overflowed)
    if not result.overflowed:
        reason = run.guard.should_skip(result.loss, result.norm)
    if reason:
        run.write("skipped", step=step + 1, reason=reason, loss=result.loss, grad_norm=result.norm)
        run.optimizers.zero_grad()
        run.num_skipped += 1
        return False, rate
    if config.clip_norm:
        parameters = [p for _, p in trainable(run.model) if p.grad is not None]
        clip_grads_with_norm_(parameters, config.clip_norm, torch.tensor(result.norm))
    run.optimizers.step(rate)
    run.optimizers.zero_grad()
    if warning := run.watch.update(result.loss):
        say(f"{run.student.verb}: {warning}")
        run.write("warning", step=step + 1, text=warning)
    return True, rate


def _record(run: Run, step: int, result: StepResult, bits: float, rate: float) -> None:
    run.write(
        "step",
        step=step,
        tokens=step * run.step_tokens,
        loss=result.loss,
        bits_per_byte=bits,
        grad_norm=result.norm,
        rate=rate,
        **run.pace.figures(),
    )


def _measure(run: Run, step: int) -> float | None:
    """Held-out bits per byte on a little text, in every process; the best weights are kept."""
    bits = None
    with run.plain_model() as model:
        if model is not None:
            bits = measure(run, model, step)
    shared: float | None = run.ranks.share(bits)
    return shared


def _gains_nothing(run: Run, bits: float | None) -> bool:
    if not run.patience.is_over(bits):
        return False
    say(f"{run.student.verb}: held-out text gains nothing any more; stopped")
    return True


def measure(run: Run, model: Any, step: int) -> float | None:
    """Record the held-out bits per byte of `model`, in the run's precision, at `step`."""
    with torch.autocast(
        run.ranks.device.type, dtype=DTYPES[run.precision], enabled=run.precision != "fp32"
    ):
        by_source = bits_within(run.heldout, model, run.config.eval_bytes)
    if not by_source:
        return None
    bits = round(sum(by_source.values(), Bits()).per_byte, 4)
    each = {name: round(part.per_byte, 4) for name, part in by_source.items()}
    tokens = step * run.step_tokens
    run.write("heldout", step=step, tokens=tokens, bits_per_byte=bits, by_source=each)
    if run.config.final_weights == "best" and step and math.isfinite(bits):
        _keep_if_best(run, model, step, bits)
    return bits


def bits_within(heldout: HeldOut, model: Any, max_bytes: int) -> dict[str, Bits]:
    """By source, on about `max_bytes` of all together; sources without any text are left out.

    Of more sources than `max_bytes` has a little for, the first by name are measured.
    """
    names = sorted(heldout.by_source)[: max(1, max_bytes // LEAST_BYTES)]
    part = copy.copy(heldout)
    part.by_source = {name: heldout.by_source[name] for name in names}
    by_source = part.bits_by_source(model, max_bytes // max(1, len(names)))
    return {name: bits for name, bits in by_source.items() if bits.num_bytes}


def _keep_if_best(run: Run, model: Any, step: int, bits: float) -> None:
    kept = load_best(run.folder / CHECKPOINTS)
    if kept is None or bits < kept[1]["bits_per_byte"] or kept[1]["step"] >= step:
        weights = {name: p.detach().cpu().contiguous() for name, p in trainable(model)}
        save_best(run.folder / CHECKPOINTS, {"step": step, "bits_per_byte": bits}, weights)
