"""`dilmac export compressed`: small safetensors for vLLM, SGLang and transformers, and proved.

The format is compressed-tensors', which llm-compressor writes and those runtimes read
(https://github.com/vllm-project/compressed-tensors). Weights are rounded to the nearest step, with
no text to calibrate on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import Artifact, Figures, InputError, Steps, building, say, write_json
from dilmac.engines import EngineSpec
from dilmac.export.card import loss_warning, write_card
from dilmac.export.compressed_weights import compress_weights, scheme_for
from dilmac.export.config import CompressedConfig
from dilmac.export.folders import DENSE, copy_rest, num_weights, without_weights
from dilmac.export.parity import prove_engine
from dilmac.models import load_model, require_model_folder, require_plain_weights, with_model_folder
from dilmac.tokenizer import Tokenizer

COPIED = ("generation_config.json", "LICENSE")
RUN = "    vllm serve ."


def export_compressed(config: CompressedConfig, *, force: bool = False) -> Artifact:
    """Make a folder with compressed safetensors, their `parity.json` and the tokenizer's files.

    The whole model is in memory, in float32.

    Raises:
        MissingDependencyError: compressed-tensors is not installed.
        InputError: no model folder, or a model that cannot be written so.
        ParityError: an id differs.
    """
    config = with_model_folder(config)
    settings = require_model_folder(config.model)
    require_compressible(config.model, settings)
    Tokenizer(config.model).require_fit(int(settings["vocab_size"]))
    scheme = scheme_for(config.type, without_weights(config.model))  # before gigabytes are read
    with building("compressed", config, {"model": [config.model]}, force=force) as build:
        if build.done:
            return build.done
        with Steps(f"compressed safetensors, {config.type}", total=1, unit="models") as steps:
            _write(config, settings, scheme, build.path)
            steps.advance(1)
        return build.finish(_proved(config, build.path))


def require_compressible(folder: Path, settings: dict[str, Any]) -> None:
    """
    Raises:
        InputError: another architecture, or a model that is compressed already.
    """
    name = (settings.get("architectures") or ["(none)"])[0]
    if name not in DENSE:
        raise InputError(
            f"architecture {name} cannot be compressed",
            where=folder / "config.json",
            mend=f"known: {', '.join(DENSE)}",
        )
    require_plain_weights(settings, folder)


def _write(config: CompressedConfig, settings: dict[str, Any], scheme: Any, folder: Path) -> None:
    import torch

    model = load_model(config.model)
    stored = getattr(torch, str(settings.get("dtype") or settings.get("torch_dtype")), None)
    # What the 16 of w4a16 says; a model in float32 becomes bf16.
    dtype = stored if stored in (torch.bfloat16, torch.float16) else torch.bfloat16
    compressor = compress_weights(model, scheme, dtype)
    model.config.dtype = dtype
    model.save_pretrained(str(folder))
    compressor.update_config(str(folder))
    copy_rest(config.model, folder, COPIED)


def _proved(config: CompressedConfig, folder: Path) -> Figures:
    files = sorted(folder.glob("*.safetensors"))
    num_bytes = sum(file.stat().st_size for file in files)
    say(f"export: safetensors {num_bytes / 1e6:,.1f} MB; proving parity")
    parity = prove_compressed(config, folder)
    write_json(folder / "parity.json", parity)
    figures = {
        "file": files[0].name,
        "num_bytes": num_bytes,
        "bits_per_weight": round(8 * num_bytes / num_weights(config.model), 3),
        "parity": parity,
    }
    if warning := loss_warning(figures):
        say(f"warning: {config.type} {warning}")
    write_card(folder, config, figures, library="vllm", run=RUN)
    return figures


def prove_compressed(config: CompressedConfig, folder: Path) -> Figures:
    """Compare what transformers computes from the folder with the one that it was made from.

    Of w8a8 transformers rounds what goes into a matrix, too.

    Raises:
        ParityError: an id differs, or a text does not round-trip.
    """
    spec = EngineSpec(kind="transformers", model=folder, precision="fp32")
    return prove_engine(config, spec, with_loss=True)
