"""The learning rate of a step, as a share of the highest."""

from __future__ import annotations

import math

from dilmac.training.choices import ScheduleName


def rate_share(
    step: int,
    num_steps: int,
    *,
    schedule: ScheduleName = "cosine",
    warmup_share: float,
    final_share: float,
    decay_share: float = 0.2,
) -> float:
    """Share of the highest learning rate at `step` (from 0) of `num_steps`; warm-up is linear.

    `cosine` falls from the end of the warm-up on; `wsd` (warm-up, stable, decay: Hu et al. 2024,
    MiniCPM) stays highest and falls linearly over the last `decay_share` of the steps; `constant`
    stays. Both falls end near `final_share`.
    """
    num_warmup = max(1, round(num_steps * warmup_share))
    if step < num_warmup:
        return (step + 1) / num_warmup
    if schedule == "constant":
        return 1.0
    if schedule == "wsd":
        num_decay = max(1, round(num_steps * decay_share))
        left = min(1.0, (num_steps - step) / num_decay)
        return final_share + (1 - final_share) * left
    progress = (step - num_warmup) / max(1, num_steps - num_warmup)
    return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
