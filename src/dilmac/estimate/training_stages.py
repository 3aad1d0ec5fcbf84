"""Memory and time of the stages that train: pretrain, heal, finetune."""

from __future__ import annotations

from typing import Any

from dilmac.estimate.devices import CUDA_BASE_BYTES, Target
from dilmac.estimate.facts import Model
from dilmac.estimate.stage import Part, Stage
from dilmac.estimate.trials import Calibration
from dilmac.models import Estimate, gib
from dilmac.training import flops_per_token, matmul_parameters

# Of a GPU's peak that is assumed. Compiled pretraining on full windows is usually told at 35 to
# 45 %; healing and fine-tuning run uncompiled, on shorter rows. Not measured here.
ASSUMED_MFU = {"pretrain": 0.35, "heal": 0.25, "finetune": 0.25}
# Below this a GPU waits for the launches of a step's kernels. A rule of thumb.
SHORT_STEP = 0.05  # [seconds]
START_SECONDS = 20.0  # of Python, the libraries and a model, where nothing was timed
# torch.compile on a CPU (`training/precision.py`): what it costs, and what it leaves of a step.
COMPILE_SECONDS, COMPILED_SHARE = 75.0, 0.7


def memory_parts(
    count: Estimate,
    *,
    what: dict[str, str],
    measuring: int,
    base: int,
    base_from: str,
) -> dict[str, Part]:
    """The peak as a sum: what is always there, and the greater of training and measuring."""
    training = count.gradients + count.copies + count.activations + count.logits
    parts = {
        "process": Part(base, base_from),
        "weights": Part(count.weights, what["weights"]),
        "optimizer": Part(count.optimizer, what["optimizer"]),
    }
    if measuring > training:
        parts["measuring"] = Part(
            measuring,
            f"logits of held-out text, of which {gib(training)} serve training in turn",
        )
        return parts
    parts["gradients"] = Part(count.gradients, "fp32, of what is trained")
    if count.copies:
        parts["copies"] = Part(count.copies, "weights as they are multiplied")
    parts["activations"] = Part(count.activations, what["activations"])
    parts["logits"] = Part(count.logits, what["logits"])
    return parts


def base_process(target: Target, calibration: Calibration | None) -> tuple[int, str]:
    """What the process holds beside its tensors, and how that is known [bytes]."""
    if target.kind == "cuda":
        return CUDA_BASE_BYTES, "CUDA's context and workspaces, assumed"
    if calibration is not None:
        return calibration.base_bytes, "Python and the libraries, measured"
    return TYPICAL_BASE, "Python and the libraries, usual"


TYPICAL_BASE = 700 << 20  # python 3.11 with torch 2.13, transformers 5.23, peft, trl


def trained_share_flops(model: Model, context: int, trained: int) -> float:
    """Operations of a token where only `trained` numbers need gradients of their own.

    Forward 2 N, backward through the layers 2 N, and 2 for every number that is trained.
    """
    config = model.shape.shape_config(model.rows)
    whole = flops_per_token(config, context)
    multiplied = matmul_parameters(config)
    return whole - 2.0 * (multiplied - min(trained, multiplied))


def counted_seconds(
    stage: Stage,
    target: Target,
    *,
    verb: str,
    steps: int,
    step_tokens: float,
    flops: float,
    precision: str,
    mfu: float | None,
    checkpointing: bool,
) -> None:
    """Time by operations: `steps × tokens × FLOPs / (devices × peak × MFU)`."""
    peak, source = target.peak(precision)
    share = mfu or ASSUMED_MFU[verb]
    each = flops * (4 / 3 if checkpointing else 1)
    step = step_tokens * each / (target.count * peak * share)
    stage.seconds["start"] = Part(START_SECONDS, "start-up, assumed")
    stage.seconds["steps"] = Part(
        steps * step,
        f"{steps:,} steps × {step_tokens:,.0f} tokens × {each / 1e9:,.2f} GFLOP / "
        f"({target.count} × {peak / 1e12:,.3g} TFLOP/s × {share:.0%})",
    )
    stage.how = "counted"
    if target.kind == "cuda" and step < SHORT_STEP:
        stage.notes.append(
            f"steps of {step * 1000:.2g} ms are too short to fill the card: it will take several "
            "times as long; larger --batch-tokens, or --batch-size, fill it"
        )
    stage.notes.append(
        f"time is an estimate from operations: peak {source}, {share:.0%} of it is assumed (--mfu)"
    )


def timed_steps(stage: Stage, found: dict[str, Any], steps: int, *, compiled: bool) -> None:
    """Add the time of all steps, from a trial on this machine."""
    again = int(found["num_micro_batches"]) - 1
    step = float(found["step_seconds"]) + again * float(found["micro_seconds"])
    formula = f"{steps:,} steps × {step:.3g} s"
    if again:
        formula += f" ({found['step_seconds']:.3g} s + {again} × {found['micro_seconds']:.3g} s)"
    formula += f", median of {found['num_timed']} timed here"
    if compiled:
        step *= COMPILED_SHARE
        formula += f", × {COMPILED_SHARE} compiled"
        stage.seconds["compiling"] = Part(COMPILE_SECONDS, "torch.compile on a CPU, usual")
        stage.notes.append("the run compiles, the trial does not: its steps are rough")
    stage.seconds["steps"] = Part(steps * step, formula)
    stage.how = "timed here"
