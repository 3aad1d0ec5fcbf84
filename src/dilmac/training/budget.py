"""How long to train: a number of tokens, of epochs or of hours, and the steps that follow.

The schedule is a function of the number of steps, and an exact resume needs it to be the same
number again. Hours are therefore turned into steps once, after a short timed trial; the number is
recorded with the run and never fitted again.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dilmac.core import ConfigError
from dilmac.models import parse_count

__all__ = ["Budget", "HoursBudget", "num_steps_for", "parse_count", "parse_hours"]

SECONDS = {"h": 3600, "m": 60, "s": 1}
_HOURS = re.compile(
    r"(?:([0-9]+(?:\.[0-9]+)?)h)?\s*(?:([0-9]+(?:\.[0-9]+)?)m)?\s*(?:([0-9]+(?:\.[0-9]+)?)s)?",
    re.IGNORECASE,
)


def parse_hours(value: str | int | float, *, where: str = "--hours") -> float:
    """`24`, `1.5`, `24h`, `1h30m` or `90m` [hours].

    Raises:
        ConfigError: it is no time, or not above zero.
    """
    mend = "write 24, 1.5, 1h30m or 90m"
    text = "" if isinstance(value, bool) else str(value).strip()
    hours = 0.0
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        hours = float(text)
    elif text and (match := _HOURS.fullmatch(text)):
        parts = zip(match.groups(), SECONDS.values(), strict=True)
        hours = sum(float(part) * seconds for part, seconds in parts if part) / 3600
    if not (hours > 0 and math.isfinite(hours)):
        raise ConfigError(f"must be a time above zero, found {value!r}", where=where, mend=mend)
    return hours


@dataclass(frozen=True)
class Budget:
    """What a run may use, in text; of several the smallest counts. For time see `HoursBudget`."""

    tokens: int | None = None
    epochs: float | None = None

    def __post_init__(self) -> None:
        if self.tokens is None and self.epochs is None:
            raise ConfigError(
                "no budget", where="--tokens", mend="give --tokens 2B, --epochs 1 or --hours 24"
            )


def num_steps_for(budget: Budget, *, step_tokens: int, epoch_tokens: int) -> int:
    """Steps of `step_tokens` that a budget fills, at least 1.

    `epoch_tokens` are those of one pass over the text.
    """
    limits: list[float] = []
    if budget.tokens is not None:
        limits.append(budget.tokens)
    if budget.epochs is not None:
        limits.append(budget.epochs * epoch_tokens)
    return max(1, math.ceil(min(limits) / step_tokens))


@dataclass(frozen=True)
class HoursBudget:
    """Turns hours into a number of steps, once.

    >>> budget = HoursBudget(hours=24)
    >>> num_steps = budget.decide(step_seconds, seconds_spent=95.0, overhead_share=0.03)

    The run times `trial_steps` steps, decides, writes the number into its state, and is from then
    on the run that has that many steps. There is no second decision: one that depended on the
    clock later would make a resumed run another one. A resumed run has all of its steps left
    whatever the break cost, so the hours are hours of training.
    """

    hours: float
    warm_steps: int = 2  # not timed: they compile, and fill caches
    trial_steps: int = 12  # timed ones and warm ones together

    def decide(
        self,
        step_seconds: Sequence[float],
        seconds_spent: float,
        overhead_share: float,
    ) -> int:
        """Steps of the whole run.

        `step_seconds` are the times of the trial's steps, warm ones first; `seconds_spent` what
        has passed since the command began, the trial with it; `overhead_share` [0-1) what
        measuring, sampling and checkpoints take of the time. The run begins anew after the trial,
        which makes it equal to one told its number of steps.

        Raises:
            ConfigError: too few steps were timed, or the time is used up.
        """
        timed = step_seconds[self.warm_steps :]
        if not timed or min(timed) <= 0:
            raise ConfigError(
                f"no step was timed after the first {self.warm_steps}", where="--hours"
            )
        # The median: a step that waited for the disk must not shorten the run.
        left = (self.hours * 3600 - seconds_spent) * (1 - overhead_share)
        num_steps = math.floor(left / statistics.median(timed))
        if num_steps <= len(step_seconds):
            raise ConfigError(
                f"{self.hours:.3g} hours hold no more steps than the {len(step_seconds)} of the "
                f"trial, {statistics.median(timed):.3g} s each",
                where="--hours",
                mend="give more hours, a smaller --preset or smaller --batch-tokens",
            )
        return num_steps
