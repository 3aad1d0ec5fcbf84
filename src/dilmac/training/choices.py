"""Names that settings may take; without torch, so that `--help` is quick."""

from __future__ import annotations

from typing import Literal

OptimizerName = Literal["adamw", "muon"]
Packing = Literal["concat", "best-fit"]
Parallel = Literal["ddp", "fsdp"]
ScheduleName = Literal["cosine", "wsd", "constant"]
