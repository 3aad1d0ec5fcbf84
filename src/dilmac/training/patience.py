"""When to stop: held-out bits per byte that no longer fall."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

LEAST_GAIN = 0.001  # bits per byte; less is noise of the text that is measured


@dataclass
class Patience:
    """Counts measurements without gain; after `limit` of them it is over. No limit, no end."""

    limit: int | None = None
    best: float = math.inf
    waited: int = 0

    def is_over(self, bits: float | None) -> bool:
        """Take a measurement; whether training should stop."""
        if self.limit is None or bits is None:
            return False
        if bits < self.best - LEAST_GAIN:
            self.best, self.waited = bits, 0
        else:
            self.waited += 1
        return self.waited >= self.limit

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        best = self.best if math.isfinite(self.best) else None
        return {"best": best, "waited": self.waited}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best = math.inf if state["best"] is None else float(state["best"])
        self.waited = int(state["waited"])
