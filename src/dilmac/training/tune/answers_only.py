"""The head on the tokens of answers alone, on a CPU too.

TRL's fused head leaves out what carries no label where Triton runs, and scores every position
elsewhere: some devices compile anew for every shape. A CPU does not. In a small model on a large
vocabulary the head is most of the work, and of instructions most tokens are prompt.
"""

from __future__ import annotations

import torch
from trl.trainer import utils

ASKED = "_use_triton"  # what trl 1.16 decides by; this name has no other use in that module


def score_answers_only() -> bool:
    """Make TRL leave out every position without a label; whether this TRL can be told so."""
    if not hasattr(utils, ASKED):
        return False
    setattr(utils, ASKED, _always)
    return True


def _always(device: torch.device) -> bool:  # noqa: ARG001 — whatever it is
    return True
