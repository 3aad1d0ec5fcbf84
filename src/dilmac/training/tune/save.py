"""What fine-tuning leaves: the adapter, and the whole model, with proof that they are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dilmac.core import DilmacError, Figures
from dilmac.models import load_model, round_weights, save_model
from dilmac.tokenizer import IM_END, Tokenizer, copy_tokenizer
from dilmac.training.collate import pad_id
from dilmac.training.config import FinetuneConfig
from dilmac.training.precision import DTYPES
from dilmac.training.tune.merge import (
    logits_on,
    merge_adapter,
    probe_of,
    save_adapter,
    with_saved_adapter,
)
from dilmac.training.tune.quantized import dequantized, fp32_bytes, load_quantized, roomy

MAX_SAVED_DIFFERENCE = 1e-3  # logits of the saved model against the trained one, in fp32
ADAPTER = "adapter"


def save_tuned(
    model: Any, tokenizer: Tokenizer, config: FinetuneConfig, folder: Path
) -> tuple[Any, Figures]:
    """Save adapter and whole model; the model that was saved, and the proof.

    Raises:
        DilmacError: merged or saved, it is not the model that was trained.
    """
    model.eval()
    probe = probe_of(tokenizer, model.device)
    proof: Figures = {}
    if config.method != "full":
        save_adapter(model, config.model.name, folder / ADAPTER)
        if config.method == "qlora":
            model, lost = _on_plain_base(model, config, folder / ADAPTER, probe)
            proof["dequantized_logit_difference"] = _short(lost)
        model, difference = merge_adapter(model, probe, folder)
        proof["merge_logit_difference"] = _short(difference)
    proof["saved_logit_difference"] = save_whole(
        model, probe, folder, DTYPES[config.save_precision], tokenizer
    )
    copy_tokenizer(config.model, folder)
    return model, proof


def stops_of(tokenizer: Tokenizer) -> list[int]:
    """Tokens that end an answer.

    Raises:
        InputError: the tokenizer has no ChatML markers.
    """
    return [tokenizer.control_id(IM_END), tokenizer.document_start_id]


def save_whole(
    model: Any, probe: torch.Tensor, folder: Path, dtype: torch.dtype, tokenizer: Tokenizer
) -> float:
    """Save a plain model in `dtype` and open it again; the largest difference of a logit.

    Raises:
        DilmacError: what was saved is not the same model.
    """
    model.config.eos_token_id = model.generation_config.eos_token_id = stops_of(tokenizer)
    model.config.pad_token_id = model.generation_config.pad_token_id = pad_id(tokenizer)
    round_weights(model, dtype)
    save_model(model, folder, dtype)
    reopened = load_model(folder).to(model.device).eval()
    difference = float((logits_on(model, probe) - logits_on(reopened, probe)).abs().max())
    if not difference <= MAX_SAVED_DIFFERENCE:
        raise DilmacError(
            f"the saved model's logits differ by {difference:.2g} from the trained one's",
            where=folder,
            mend="train with --precision fp32",
        )
    return _short(difference)


def _on_plain_base(
    model: Any, config: FinetuneConfig, adapter: Path, probe: torch.Tensor
) -> tuple[Any, float]:
    """The saved adapter on the base in ordinary numbers; how far it is from what was trained.

    The values of the matrices are the same; the difference is that of the arithmetic (int8 rounds
    what goes into a matrix, too).
    """
    before = logits_on(model, probe)
    # Twice, as what is saved is opened again beside it.
    place = roomy(model.device, 2 * fp32_bytes(model))
    base = load_quantized(config.model, config.quantization, torch.float32, device=place)
    plain = with_saved_adapter(dequantized(base), adapter).to(place).eval()
    return plain, float((before - logits_on(plain, probe)).abs().max())


def _short(value: float) -> float:
    return float(f"{value:.2g}")
