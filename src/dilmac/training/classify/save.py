"""The trained classifier on the disk, with proof that it is the one that was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import DilmacError, Figures
from dilmac.evaluate import Classifier, padded
from dilmac.models import round_weights, save_model
from dilmac.tokenizer import copy_tokenizer
from dilmac.training.classify.config import ClassifyConfig
from dilmac.training.classify.model import write_padding
from dilmac.training.precision import DTYPES
from dilmac.training.tune.merge import (
    logits_on,
    merge_adapter,
    save_adapter,
    with_saved_adapter,
)
from dilmac.training.tune.quantized import dequantized

MAX_DIFFERENCE = 1e-3  # logits of two models that should be one, in fp32
ADAPTER = "adapter"


def save_classifier(
    model: Any,
    config: ClassifyConfig,
    folder: Path,
    *,
    base: Any,
    pad_token: str,
    max_tokens: int,
    probe_rows: list[list[int]],
) -> tuple[Figures, Classifier]:
    """Save a classifier, merged where an adapter was trained, and open it again.

    `base` makes the classifier that an adapter was trained beside, anew. The figures are the
    largest differences of a logit on `probe_rows`: of merging, of saving, and of QLoRA's
    arithmetic, which bf16 rounds.

    Raises:
        DilmacError: what was saved is not what was trained.
    """
    model = model.eval()
    probe, _ = padded(probe_rows, model.config.pad_token_id)
    probe = probe.to(model.device)
    proof: Figures = {}
    if config.method != "full":
        save_adapter(model, config.model.name, folder / ADAPTER)
        if config.method == "qlora":
            trained = logits_on(model, probe)
            model = with_saved_adapter(dequantized(base()), folder / ADAPTER)
            model = model.to(probe.device).eval()
            lost = float((trained - logits_on(model, probe)).abs().max())
            proof["dequantized_logit_difference"] = _short(lost)
        model, difference = merge_adapter(model, probe, folder)
        proof["merge_logit_difference"] = _short(difference)
    round_weights(model, DTYPES[config.save_precision])
    save_model(model, folder, DTYPES[config.save_precision])
    copy_tokenizer(config.model, folder)
    write_padding(folder, pad_token, max_tokens)
    opened = Classifier(folder, probe.device)
    difference = float((logits_on(model, probe) - logits_on(opened.model, probe)).abs().max())
    if not difference <= MAX_DIFFERENCE:
        raise DilmacError(
            f"saving changed the logits by {difference:.2g}, more than {MAX_DIFFERENCE}",
            where=folder,
        )
    proof["saved_logit_difference"] = _short(difference)
    proof["total_parameters"] = sum(p.numel() for p in opened.model.parameters())
    return proof, opened


def _short(value: float) -> float:
    return float(f"{value:.2g}")
