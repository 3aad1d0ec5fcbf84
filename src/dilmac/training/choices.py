"""Names that settings may take; without torch, so that `--help` is quick."""

from __future__ import annotations

from typing import Literal

OptimizerName = Literal["adamw", "muon"]
Packing = Literal["concat", "best-fit"]
Parallel = Literal["ddp", "fsdp"]
ScheduleName = Literal["cosine", "wsd", "constant"]
Objective = Literal["sft", "dpo"]
Method = Literal["lora", "dora", "ia3", "qlora", "full"]
Quantization = Literal["nf4", "int8"]
Rows = Literal["all", "new"]
