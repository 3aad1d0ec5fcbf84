"""`dilmac export adapter`: a LoRA adapter as a GGUF that llama.cpp lays over its base.

Format: llama.cpp's `convert_lora_to_gguf.py` and `llama-adapter.cpp`: of every matrix two parts,
`lora_a` [rank, in] and `lora_b` [out, rank], and one alpha; a matrix gets alpha / rank of b·a.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import numpy as np
from safetensors import safe_open

from dilmac.core import (
    Artifact,
    DilmacError,
    Figures,
    InputError,
    building,
    read_json,
    say,
    write_json,
)
from dilmac.engines import EngineSpec
from dilmac.export.architectures import Settings, architecture_of
from dilmac.export.config import AdapterConfig
from dilmac.export.gguf import write_gguf
from dilmac.export.parity import prove_engine
from dilmac.export.tensors import interleaved
from dilmac.models import load_model, require_model_folder, with_model_folder

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BEFORE = "base_model.model."  # peft's, before every name of the model's own
PARTS = {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}
# What llama.cpp's sum of two products is not, and how it is called in peft.
MERGE = "merge it with `dilmac adapters merge`, and export the whole model"
NOT_LORA = {
    "use_dora": "DoRA",
    "modules_to_save": "whole tables",
    "trainable_token_indices": "new rows",
    "alpha_pattern": "an alpha of its own for some layers",
    "fan_in_fan_out": "transposed matrices",
    "lora_bias": "biases",
}


@dataclass(frozen=True)
class Part:
    """One matrix of the GGUF, the safetensors' that it is, and the base's that it belongs to."""

    name: str
    source: str
    target: str


def export_adapter(config: AdapterConfig, *, force: bool = False) -> Artifact:
    """Make a folder with `adapter-TYPE.gguf` and its `parity.json`.

    Raises:
        InputError: no model folder, no LoRA adapter of it, or one that llama.cpp cannot lay over.
        ParityError: llama.cpp with base and adapter is not what transformers and peft compute.
    """
    config = with_model_folder(config)
    settings = require_model_folder(config.model)
    architecture_of(settings, config.model)
    lora = read_lora(config.adapter)
    inputs = {"model": [config.model], "adapter": [config.adapter]}
    with building("adapter-gguf", config, inputs, force=force) as build:
        if build.done:
            return build.done
        path = build.path / f"adapter-{config.type}.gguf"
        num_matrices = write_adapter(config, settings, lora, path)
        say(f"export: {path.name} {path.stat().st_size / 1e6:,.1f} MB; proving parity")
        parity = prove_adapter(config, path)
        write_json(build.path / "parity.json", parity)
        return build.finish(
            {
                "file": path.name,
                "num_bytes": path.stat().st_size,
                "rank": lora["r"],
                "matrices": num_matrices,
                "parity": parity,
            }
        )


def read_lora(folder: Path) -> dict[str, Any]:
    """The settings of a LoRA adapter as peft writes it.

    Raises:
        InputError: no adapter, one of another kind, or one with more than llama.cpp adds.
    """
    for name in (SETTINGS, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(
                f"no {name} in it",
                where=f"--adapter {folder}",
                mend="give the adapter/ folder that `dilmac finetune` leaves",
            )
    settings = read_json(folder / SETTINGS)
    where = folder / SETTINGS
    if settings.get("peft_type") != "LORA":
        kind = settings.get("peft_type")
        raise InputError(f"llama.cpp takes LoRA alone, this is {kind}", where=where, mend=MERGE)
    found = [what for key, what in NOT_LORA.items() if settings.get(key)]
    if settings.get("bias", "none") != "none":
        found.append("biases")
    if found:
        raise InputError(
            f"llama.cpp takes plain LoRA alone, this has {' and '.join(found)}",
            where=where,
            mend=MERGE,
        )
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    if not (isinstance(rank, int) and rank > 0 and isinstance(alpha, int | float)):
        raise InputError(f"rank {rank!r} and alpha {alpha!r} are no numbers", where=where)
    if settings.get("use_rslora") and settings.get("rank_pattern"):
        raise InputError("scales by the root of ranks that differ", where=where, mend=MERGE)
    return dict(settings)


def write_adapter(
    config: AdapterConfig, settings: Settings, lora: dict[str, Any], path: Path
) -> int:
    """Write the file; how many matrices of the base it changes.

    Raises:
        InputError: a matrix has no place in a GGUF of the base, or is not the base's size.
    """
    architecture = architecture_of(settings, config.model)
    # rsLoRA (Kalajdzievski 2023) scales by alpha / √rank; llama.cpp divides by the rank.
    scale = math.sqrt(lora["r"]) if lora.get("use_rslora") else 1.0
    dtype = np.float16 if config.type == "f16" else np.float32
    writer = gguf.GGUFWriter(path, architecture.name)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, lora["lora_alpha"] * scale)
    names = gguf.get_tensor_name_map(architecture.kind, settings["num_hidden_layers"])
    with safe_open(config.adapter / WEIGHTS, framework="pt") as file:
        parts = list(_parts(file.keys(), names, config.adapter / WEIGHTS))
        _require_pairs(parts, config.adapter / WEIGHTS)
        for part in parts:
            values = file.get_tensor(part.source).float().numpy()
            if architecture.interleaves and part.name.endswith(".lora_b"):
                values = interleaved(part.target, values, settings)
            writer.add_tensor(part.name, np.ascontiguousarray(values.astype(dtype)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return len(parts) // 2


def _parts(keys: Any, names: gguf.TensorNameMap, where: Path) -> Iterator[Part]:
    for key in keys:
        part = next((part for part in PARTS if key.endswith(part)), None)
        target = None
        if part and key.startswith(BEFORE):
            own = key.removeprefix(BEFORE).removesuffix(part)
            target = names.get_name(f"{own}.weight", try_suffixes=(".weight",))
        if part is None or target is None:
            raise InputError(f"tensor {key!r} has no place in an adapter", where=where, mend=MERGE)
        yield Part(f"{target}{PARTS[part]}", key, target)


def _require_pairs(parts: list[Part], where: Path) -> None:
    first, second = (
        {part.target for part in parts if part.name.endswith(half)} for half in PARTS.values()
    )
    apart = first ^ second
    if apart or not parts:
        found = f"{min(apart)} has one of its two matrices" if apart else "no matrix in it"
        raise InputError(found, where=where, mend="make or download the adapter again")


def prove_adapter(config: AdapterConfig, path: Path) -> Figures:
    """Compare llama.cpp with base and adapter with transformers and peft's adapter.

    Raises:
        InputError: the adapter does not fit the base.
        ParityError: see `prove_engine`.
        DilmacError: the adapter changes nothing, so that nothing is proved.
    """
    from peft import PeftModel

    try:
        adapted = PeftModel.from_pretrained(load_model(config.model), str(config.adapter)).eval()
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise InputError(
            f"does not fit the base ({' '.join(str(error).split())[:200]})",
            where=f"--adapter {config.adapter}",
            mend="give the model that the adapter was trained on by --model",
        ) from error
    with TemporaryDirectory(prefix="dilmac-") as scratch:
        base = Path(scratch) / "base-f32.gguf"
        write_gguf(config.model, require_model_folder(config.model), base, "f32")
        spec = EngineSpec(kind="llamacpp", model=base, adapter=path, exact=True)
        parity = prove_engine(config, spec, model=adapted)
    changed = _largest_change(adapted)
    if not changed:
        raise DilmacError(
            "changes nothing: all that it adds is zero",
            where=f"--adapter {config.adapter}",
            mend="was it trained?",
        )
    return parity | {"logits_changed_by": round(changed, 4)}


def _largest_change(adapted: Any) -> float:
    """How far a logit moves by the adapter, so that a proof of equality proves something."""
    import torch

    ids = torch.arange(64)[None] % adapted.config.vocab_size
    with torch.inference_mode():
        with adapted.disable_adapter():
            before = adapted(input_ids=ids, use_cache=False).logits
        return float((adapted(input_ids=ids, use_cache=False).logits - before).abs().max())
