"""Steps that would harm: a loss or a gradient far out is not applied, and a rise is told early.

Everything here is plain float arithmetic on what the loop hands in, so a resumed run decides as an
undisturbed one. With several processes the loss and the norm must be those of all of them.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from dilmac.core import DilmacError

LOSS_FLOOR_SHARE = 0.05  # a loss within 5 % of the mean is none: the deviation may be tiny
NORM_FLOOR = math.log(2)  # a norm up to twice the mean is none: clipping is there for it
SMALLEST_NORM = 1e-30  # has a logarithm
NOISE = (
    8.0  # the smoothed loss of a run that stands still wanders 5 of its deviations from its best
)


def _log(norm: float) -> float:
    return math.log(max(norm, SMALLEST_NORM))


@dataclass
class Recent:
    """The last accepted values of one quantity."""

    window: int
    values: deque[float] = field(default_factory=deque)

    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    def deviation(self) -> float:
        """Standard deviation."""
        mean = self.mean()
        return math.sqrt(math.fsum((v - mean) ** 2 for v in self.values) / len(self.values))

    def add(self, value: float) -> None:
        self.values.append(value)
        while len(self.values) > self.window:
            self.values.popleft()


class SpikeGuard:
    """Says which steps not to apply (the idea of OLMo-core's `SkipStepOptimizer`).

    A step whose loss or gradient norm (before clipping) lies more than `sigmas` standard
    deviations above the mean of the last `window` accepted steps is skipped, and so is one that is
    not finite. Norms are compared by their logarithms: theirs is a long tail, and small batches
    with noisy norms lost 1.3 steps in a thousand without that, none with it. Before `warmup`
    accepted steps (half the window unless given), and with infinite `sigmas`, only what is not
    finite is skipped.

    Skipped steps leave the weights as they are, so when the loss stays far out for
    `max_in_row` batches in a row it is the weights that are bad, and the run ends. When only the
    norm does, gradients have become larger for good: clipping bounds them, and the guard learns
    the norms anew.
    """

    def __init__(
        self,
        sigmas: float = 6.0,
        window: int = 128,
        warmup: int | None = None,
        max_in_row: int = 5,
    ):
        self.sigmas, self.max_in_row = sigmas, max_in_row
        self.warmup = max(2, window // 2 if warmup is None else warmup)
        self._losses, self._norms = Recent(window), Recent(window)  # norms: logarithms
        self.num_skipped = 0
        self._bad_losses_in_row = self._bad_norms_in_row = 0

    def should_skip(self, loss: float, norm: float) -> str | None:
        """Why this step must not be applied, or None; call it once for every step.

        `loss` [nats per token] and `norm` are those of the whole step.

        Raises:
            DilmacError: the loss runs away.
        """
        bad_loss, reason = self._judge(loss, norm)
        if reason is None:
            self._bad_losses_in_row = self._bad_norms_in_row = 0
            self._losses.add(loss)
            self._norms.add(_log(norm))
            return None
        self.num_skipped += 1
        if bad_loss:
            self._bad_losses_in_row += 1
        else:
            self._bad_norms_in_row += 1
        if self._bad_losses_in_row >= self.max_in_row:
            raise DilmacError(
                f"the loss runs away: {self._bad_losses_in_row} steps in a row were not fit to be "
                f"applied, the last because the {reason}",
                mend="begin anew with --force and a lower --learning-rate; until then the last "
                "checkpoint is kept",
            )
        if self._bad_norms_in_row >= self.max_in_row:
            self._norms.values.clear()
            self._bad_norms_in_row = 0
        return reason

    def _judge(self, loss: float, norm: float) -> tuple[bool, str | None]:
        """Whether the weights are to blame (loss far out, or anything not finite), and why."""
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                return True, f"{name} is not finite ({value})"
        if math.isinf(self.sigmas):
            return False, None
        if len(self._losses.values) >= self.warmup:
            mean, deviation = self._losses.mean(), self._losses.deviation()
            limit = mean + max(self.sigmas * deviation, LOSS_FLOOR_SHARE * abs(mean))
            if loss > limit:
                return True, f"loss {loss:.4g} is above {limit:.4g}"
        if len(self._norms.values) >= self.warmup:
            rise = max(self.sigmas * self._norms.deviation(), NORM_FLOOR)
            limit = self._norms.mean() + rise
            if _log(norm) > limit:
                return False, f"gradient norm {norm:.4g} is above {math.exp(min(limit, 700)):.4g}"
        return False, None

    def state(self) -> dict[str, Any]:
        """All that the next decision depends on; JSON keeps every bit of it."""
        return {
            "losses": list(self._losses.values),
            "norms": list(self._norms.values),
            "num_skipped": self.num_skipped,
            "bad_losses_in_row": self._bad_losses_in_row,
            "bad_norms_in_row": self._bad_norms_in_row,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        self._losses.values = deque(state["losses"])
        self._norms.values = deque(state["norms"])
        self.num_skipped = state["num_skipped"]
        self._bad_losses_in_row = state["bad_losses_in_row"]
        self._bad_norms_in_row = state["bad_norms_in_row"]


class DivergenceWatch:
    """Tells once when the smoothed loss has stayed well above its best.

    The loss is averaged exponentially over about `smooth_steps`; it is well above when it exceeds
    its best by `rise_share`, by `least_rise` [nats per token] and by more than its own noise for
    `patience` steps in a row.
    """

    def __init__(
        self,
        smooth_steps: int = 50,
        rise_share: float = 0.05,
        least_rise: float = 0.1,
        patience: int = 50,
    ):
        self.smooth_steps, self.patience = smooth_steps, patience
        self.rise_share, self.least_rise = rise_share, least_rise
        self._num_steps = self._num_above = 0
        self._mean = self._variance = 0.0
        self._best: float | None = None
        self._told = False

    def update(self, loss: float) -> str | None:
        """Take the loss of an applied step; the warning, the one time it is due."""
        if not math.isfinite(loss):
            return None
        self._smooth(loss)
        if self._num_steps < self.smooth_steps:
            return None
        if self._best is None or self._mean < self._best:
            self._best = self._mean
        # Of an exponential mean over N values: the variance of one, divided by 2 N.
        noise = NOISE * math.sqrt(self._variance / (2 * self.smooth_steps))
        rise = max(self.rise_share * abs(self._best), self.least_rise, noise)
        self._num_above = self._num_above + 1 if self._mean > self._best + rise else 0
        if self._told or self._num_above < self.patience:
            return None
        self._told = True
        return (
            f"the loss has been rising: {self._mean:.3f} now, {self._best:.3f} at its best (means "
            f"of {self.smooth_steps} steps); if it goes on, begin anew with a lower --learning-rate"
        )

    def _smooth(self, loss: float) -> None:
        """Exponential mean and variance; plain ones at first, so the first loss fades soon."""
        self._num_steps += 1
        share = 1 / min(self._num_steps, self.smooth_steps)
        distance = loss - self._mean if self._num_steps > 1 else 0.0
        self._mean = self._mean + share * distance if self._num_steps > 1 else loss
        self._variance = (1 - share) * (self._variance + share * distance**2)

    def state(self) -> dict[str, Any]:
        """All that the next decision depends on; JSON keeps every bit of it."""
        return {
            "num_steps": self._num_steps,
            "num_above": self._num_above,
            "mean": self._mean,
            "variance": self._variance,
            "best": self._best,
            "told": self._told,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        self._num_steps, self._num_above = state["num_steps"], state["num_above"]
        self._mean, self._variance = state["mean"], state["variance"]
        self._best, self._told = state["best"], state["told"]
