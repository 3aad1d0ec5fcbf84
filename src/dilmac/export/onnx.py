"""`dilmac export onnx`: a model folder as an ONNX graph with its cache, and proved.

The graph is the one of onnxruntime-genai's model builder: attention with rotary positions and the
cache is one node (GroupQueryAttention), and products with int8 or int4 weights are another
(MatMulNBits). Plain ONNX Runtime runs it, and so does onnxruntime-genai.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import Artifact, Figures, InputError, Steps, building, say, write_json
from dilmac.engines import EngineSpec
from dilmac.export.card import loss_warning, write_card
from dilmac.export.config import OnnxConfig
from dilmac.export.folders import DENSE, copy_rest, num_weights
from dilmac.export.onnx_graph import build_graph
from dilmac.export.parity import prove_engine
from dilmac.models import (
    require_model_folder,
    require_plain_weights,
    rope_parameters,
    with_model_folder,
)
from dilmac.tokenizer import Tokenizer

# Those whose table of positions is the same for every length of text.
ROPE_TYPES = ("default", "linear", "yarn", "llama3")
# Sliding windows would need a cache of another kind. Key → what its absence means.
WINDOWS: dict[str, tuple[str, Any]] = {
    "MistralForCausalLM": ("sliding_window", 4096),
    "Qwen2ForCausalLM": ("use_sliding_window", False),
    "Qwen3ForCausalLM": ("use_sliding_window", False),
}
COPIED = ("config.json", "generation_config.json", "LICENSE")


def export_onnx(config: OnnxConfig, *, force: bool = False) -> Artifact:
    """Make a folder with `model.onnx`, its data, its `parity.json` and the tokenizer's files.

    Raises:
        MissingDependencyError: the packages of the extra `onnx` are not installed.
        InputError: no model folder, or a model that cannot be written.
        ParityError: ONNX Runtime does not compute what transformers computes.
    """
    config = with_model_folder(config)
    settings = require_model_folder(config.model)
    require_buildable(config.model, settings)
    Tokenizer(config.model).require_fit(int(settings["vocab_size"]))
    with building("onnx", config, {"model": [config.model]}, force=force) as build:
        if build.done:
            return build.done
        with Steps(f"ONNX graph, {config.type}", total=1, unit="graphs") as steps:
            build_graph(config.model, build.path, config.type)
            steps.advance(1)
        copy_rest(config.model, build.path, COPIED)
        return build.finish(_proved(config, build.path))


def require_buildable(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse a model whose graph would compute something else.

    Raises:
        InputError: another architecture, a sliding window, or other rotary positions.
    """
    require_plain_weights(settings, folder)
    where = folder / "config.json"
    name = (settings.get("architectures") or ["(none)"])[0]
    if name not in DENSE:
        raise InputError(
            f"architecture {name} cannot be written as ONNX",
            where=where,
            mend=f"known: {', '.join(DENSE)}",
        )
    if name in WINDOWS:
        key, absent = WINDOWS[name]
        if settings.get(key, absent):
            raise InputError(
                f"{key} {settings.get(key, absent)!r} cannot be written as ONNX", where=where
            )
    kind = rope_parameters(settings)["rope_type"]
    if kind not in ROPE_TYPES:
        raise InputError(
            f"rope type {kind!r} cannot be written as ONNX",
            where=where,
            mend=f"known: {', '.join(ROPE_TYPES)}",
        )


def _proved(config: OnnxConfig, folder: Path) -> Figures:
    num_bytes = sum(file.stat().st_size for file in folder.glob("model.onnx*"))
    say(f"export: model.onnx {num_bytes / 1e6:,.1f} MB; proving parity")
    parity = prove_onnx(config, folder)
    write_json(folder / "parity.json", parity)
    figures = {
        "file": "model.onnx",
        "num_bytes": num_bytes,
        "bits_per_weight": round(8 * num_bytes / num_weights(config.model), 3),
        "parity": parity,
    }
    if warning := loss_warning(figures):
        say(f"warning: {config.type} {warning}")
    run = "    dilmac chat --model ."
    write_card(folder, config, figures, library="onnxruntime", run=run)
    return figures


def prove_onnx(config: OnnxConfig, folder: Path) -> Figures:
    """Compare what ONNX Runtime computes with the model folder that it was made from.

    Raises:
        ParityError: an id differs, a text does not round-trip, or a log-probability is further
            off than the type's bound.
    """
    return prove_engine(config, EngineSpec(kind="onnx", model=folder), with_loss=True)
