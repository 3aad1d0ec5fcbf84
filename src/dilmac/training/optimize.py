"""AdamW with weight decay on matrices only, and the learning rate of a step."""

from __future__ import annotations

import math

import torch


def adamw(
    model: torch.nn.Module, *, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) with betas (0.9, 0.95); norms are not decayed."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def rate_share(step: int, num_steps: int, *, warmup_share: float, final_share: float) -> float:
    """Share of the highest learning rate at `step` (from 0): linear warm-up, then a cosine."""
    num_warmup = max(1, round(num_steps * warmup_share))
    if step < num_warmup:
        return (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, num_steps - num_warmup)
    return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
