"""What is estimated of one stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dilmac.core import Figures

How = Literal["timed here", "counted", "measured rate, rough", "given"]


@dataclass(frozen=True)
class Part:
    """A summand, and how it came about."""

    amount: float  # bytes or seconds
    formula: str


@dataclass
class Stage:
    """Memory and time of a stage; None, with a reason in `unknown`, where they are not known."""

    name: str
    verb: str
    settings: Figures = field(default_factory=dict)  # that the figures follow from
    memory: dict[str, Part] = field(default_factory=dict)
    seconds: dict[str, Part] = field(default_factory=dict)
    how: How | None = None  # the time came about
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trial_peak: int | None = None  # of the process that was timed [bytes]
    is_done: bool = False
    fits: bool | None = None  # in the device's memory

    @property
    def peak_bytes(self) -> int | None:
        """The most memory at once; None where it is not known."""
        return round(sum(part.amount for part in self.memory.values())) if self.memory else None

    @property
    def total_seconds(self) -> float | None:
        """Time from start to end; None where it is not known."""
        if self.is_done:
            return 0.0
        return sum(part.amount for part in self.seconds.values()) if self.seconds else None

    def figures(self, price_per_hour: float | None, count: int) -> Figures:
        """All of it as JSON has it."""
        total = self.total_seconds
        cost = None if total is None or price_per_hour is None else total / 3600 * price_per_hour
        return {
            "verb": self.verb,
            "complete": self.is_done,
            "settings": self.settings,
            "memory_bytes": self.peak_bytes,
            "fits": self.fits,
            "memory_parts": _listed(self.memory, 0),
            "trial_peak_bytes": self.trial_peak,
            "seconds": None if total is None else round(total, 1),
            "seconds_parts": _listed(self.seconds, 3),
            "seconds_from": self.how,
            "cost": None if cost is None else round(cost * count, 4),
            "unknown": self.unknown,
            "notes": self.notes,
        }


def _listed(parts: dict[str, Part], digits: int) -> dict[str, Any]:
    return {
        name: {"amount": round(part.amount, digits or None), "formula": part.formula}
        for name, part in parts.items()
    }
