"""Types of weights and arithmetic: what a CPU multiplies in, and bitsandbytes' packed matrices."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from dilmac.core import MissingDependencyError

if TYPE_CHECKING:
    import torch

# As torch.cpu.get_capabilities names them: x86 (AVX512, AMX) and ARM (Neon, SVE).
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bf16; a CPU without such instructions emulates it."""
    import torch

    if device.type != "cpu":
        return True
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in BF16_INSTRUCTIONS)


def require_bitsandbytes(where: str) -> None:
    """
    Raises:
        MissingDependencyError: bitsandbytes is not installed, which the flag `where` needs.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingDependencyError(
            "needs bitsandbytes", where=where, mend="pip install 'dilmac[qlora]'"
        )


def packed_settings(
    kind: Literal["nf4", "int8"], dtype: torch.dtype, skipped: Sequence[str] = ()
) -> Any:
    """A `quantization` of `load_model`: matrices in 8 or 4 bits by bitsandbytes.

    `nf4` is doubly quantized as in QLoRA (Dettmers et al. 2023), with arithmetic in `dtype`.
    Modules named in `skipped` stay as they are.
    """
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(skipped) or None)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(skipped) or None,
    )
