"""Fine-tunings that take a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import Artifact
from dilmac.training import FinetuneConfig, finetune


def tune(model: Path, data: Path, out: Path, **settings: Any) -> Artifact:
    """A fine-tuning of a few steps, in fp32."""
    values = {
        "epochs": 1,
        "batch_size": 8,
        "max_length": 128,
        "precision": "fp32",
        "validation_percent": 20,
    }
    config = FinetuneConfig.model_validate(
        {"model": model, "data": data, "out": out} | values | settings
    )
    return finetune(config)
