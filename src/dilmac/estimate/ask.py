"""What an estimate asks for: the device, and how times are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dilmac.estimate.config import EstimateConfig
from dilmac.estimate.devices import Target
from dilmac.estimate.stage import Stage
from dilmac.estimate.trials import Calibration, run_trial
from dilmac.models import gib
from dilmac.training import USABLE_SHARE

LIKELY_SHARE = 0.5  # of the peak that a step reaches at best: to tell whether a trial would end
BUSY = 0.2  # a trial that waited for more of its time than this was not alone


@dataclass(frozen=True)
class Ask:
    """Settings and device of an estimate."""

    config: EstimateConfig
    target: Target

    def trial(
        self, verb: str, job: dict[str, Any] | str, stage: Stage, flops: float, precision: str
    ) -> Calibration | None:
        """A trial where one is wanted and can be; a note says why there is none.

        `flops` are the operations of the least step that it would take.
        """
        if not self.target.is_here or not self.config.calibrate:
            return None
        seconds = flops / (LIKELY_SHARE * self.target.peak(precision)[0])
        if isinstance(job, str):
            stage.notes.append(f"nothing was timed: {job}")
            return None
        if seconds > self.config.trial_seconds:
            stage.notes.append(
                f"nothing was timed: a step takes more than {seconds:,.0f} s (--trial-seconds)"
            )
            return None
        found = run_trial(verb, job, self.config.trial_seconds)
        if isinstance(found, str):
            stage.notes.append(f"nothing was timed: {found}")
            return None
        return found

    def say_busy(self, stage: Stage, found: Calibration) -> None:
        """Say where the trial shared its cores with others."""
        if found.waiting_share > BUSY and self.target.kind == "cpu":
            stage.notes.append(
                f"this machine is busy: for {found.waiting_share:.0%} of its time the trial waited "
                "for a core, which is not counted; until it is quiet the stage takes so much longer"
            )

    def warn(self, stage: Stage, mends: list[str]) -> None:
        """Say where the peak exceeds the device, with the flags that help."""
        peak, memory = stage.peak_bytes, self.target.memory
        if peak is None or memory is None:
            return
        # On a GPU what the process holds beside its tensors is in the tenth that is left.
        own = stage.memory["process"].amount if self.target.kind == "cuda" else 0
        stage.fits = peak - own <= USABLE_SHARE * memory
        if stage.fits:
            return
        within = "" if peak > memory else f", of which {USABLE_SHARE:.0%} can be counted on"
        stage.notes.insert(
            0,
            f"does not fit: {gib(peak)}, {self.target.name} has {gib(memory)}{within}; what "
            f"helps: {', '.join(mends)}",
        )
