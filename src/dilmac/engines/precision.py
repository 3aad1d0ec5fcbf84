"""The precision in which the transformers engine runs a model, and the attention that fits it.

dilmac-mini on two cores with AVX2 and without bf16, 1 and 16 answers at once [tokens/s]: fp32 48
and 295, bf16 73 and 224, int8 66 and 431 (RESULTS.md, engines). By a script that was not kept: on
2,048 tokens of prose int8 is 0.05 nats from fp32 (KL) and takes the same best token at 80 % of the
places; a head left in fp32 gains 0.005.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Literal, cast

import torch
from transformers import PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from dilmac.core import ConfigError
from dilmac.engines.interface import Precision
from dilmac.models import (
    load_model,
    multiplies_bf16,
    packed_settings,
    require_bitsandbytes,
    require_model_folder,
    require_plain_weights,
)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PACKED: dict[str, Literal["int8", "nf4"]] = {"bnb8": "int8", "bnb4": "nf4"}
HALVES = (torch.bfloat16, torch.float16)


def load_in_precision(folder: Path, asked: Precision, device: torch.device) -> PreTrainedModel:
    """The model on `device`, ready to answer.

    Raises:
        ConfigError: a precision that the device has no arithmetic for.
        MissingDependencyError: `bnb8` or `bnb4` without bitsandbytes.
        InputError: see `load_model`.
    """
    precision = resolve_precision(asked, device)
    if precision == "int8" or precision in PACKED:
        require_plain_weights(require_model_folder(folder), folder)
    if precision in PACKED:
        model = _packed(folder, PACKED[precision], device, where=f"--precision {precision}")
    elif precision == "int8":
        model = _quantized(load_model(folder))
    else:
        model = load_model(folder, DTYPES[precision])
        model.to(device)
    if device.type == "cuda" and model.dtype in HALVES and is_flash_attn_2_available():
        model.set_attn_implementation("flash_attention_2")  # else transformers takes sdpa
    return model.eval()


def resolve_precision(asked: Precision, device: torch.device) -> Precision:
    """What `auto` stands for on this machine; everything else as it is.

    Raises:
        ConfigError: fp16 on a CPU, which makes 1-3 GFLOP/s in it; int8 elsewhere, where torch has
            no kernels for it.
    """
    if asked == "auto":
        return "bf16" if multiplies_bf16(device) else "fp32"
    if asked == "fp16" and device.type == "cpu":
        raise ConfigError(
            "fp16 is for GPUs, this is a CPU", where="--precision", mend="take bf16, fp32 or int8"
        )
    if asked == "int8" and device.type != "cpu":
        raise ConfigError(
            "int8 is for CPUs, this is a GPU", where="--precision", mend="take bnb8 or bf16"
        )
    return asked


def _packed(
    folder: Path, kind: Literal["int8", "nf4"], device: torch.device, *, where: str
) -> PreTrainedModel:
    require_bitsandbytes(where)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it speaks at every matrix
    dtype = torch.bfloat16 if multiplies_bf16(device) else torch.float32
    return load_model(folder, dtype, quantization=packed_settings(kind, dtype), device=device)


def _quantized(model: PreTrainedModel) -> PreTrainedModel:
    """Matrices in int8, and what goes into them while it does; tables and norms stay in fp32.

    A head that is tied to the table of inputs becomes a matrix of its own. What is read together is
    rounded on one scale, so an answer may differ in company from what it is alone.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that it will move elsewhere
        quantized = torch.ao.quantization.quantize_dynamic(
            model.eval(), {torch.nn.Linear}, dtype=torch.qint8, inplace=True
        )
    return cast(PreTrainedModel, quantized)
