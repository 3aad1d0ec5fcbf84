"""`dilmac export gguf`: a Llama folder as one GGUF file, written tensor by tensor, and proved.

llama.cpp's own converter needs `add_prefix_space: false` to read our tokenizer right; this writer
states every tokenizer key itself. Layout: gguf's constants, and llama.cpp's conversion of Llama
(rotary rows of q and k are interleaved there, halved in transformers).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors import safe_open

from dilmac.core import Artifact, InputError, building, say, write_json
from dilmac.export.config import GgufConfig
from dilmac.export.parity import prove
from dilmac.export.vocabulary import add_vocabulary
from dilmac.models import require_model_folder, rope_parameters, trained_context, with_model_folder
from dilmac.tokenizer import copy_tokenizer

FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
STORAGE = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
ROPE_SCALINGS = {"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}
# What transformers reads and this writer leaves at the common defaults (Peng et al. 2023).
YARN_OF_ITS_OWN = {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"}
ARCHITECTURES = {"LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA}


def export_gguf(config: GgufConfig, *, force: bool = False) -> Artifact:
    """Make a folder with `model-TYPE.gguf`, its `parity.json` and the tokenizer's files.

    Raises:
        InputError: no model folder, or an architecture or tokenizer that cannot be written.
        ParityError: llama.cpp does not read the file as transformers reads the model.
    """
    config = with_model_folder(config)
    settings = require_model_folder(config.model)
    _check_supported(config.model, settings)
    with building("gguf", config, {"model": [config.model]}, force=force) as build:
        if build.done:
            return build.done
        path = build.path / f"model-{config.type}.gguf"
        write_gguf(config.model, settings, path, config.type)
        copy_tokenizer(config.model, build.path)
        say(f"export: {path.name} {path.stat().st_size / 1e6:,.1f} MB; proving parity")
        parity = prove(config, path)
        write_json(build.path / "parity.json", parity)
        num_bytes = path.stat().st_size
        return build.finish({"file": path.name, "num_bytes": num_bytes, "parity": parity})


def _check_supported(folder: Path, settings: dict[str, Any]) -> None:
    names = settings.get("architectures") or ["(none)"]
    if names[0] not in ARCHITECTURES:
        raise InputError(
            f"architecture {names[0]} cannot be written as GGUF",
            where=folder / "config.json",
            mend=f"known: {', '.join(ARCHITECTURES)}",
        )
    rope = rope_parameters(settings)
    if rope["rope_type"] not in ("default", *ROPE_SCALINGS):
        raise InputError(
            f"rope type {rope['rope_type']!r} cannot be written as GGUF",
            where=folder / "config.json",
            mend=f"known: default, {', '.join(ROPE_SCALINGS)}",
        )
    if own := sorted(set(rope) & YARN_OF_ITS_OWN):
        raise InputError(
            f"rope parameter {own[0]!r} cannot be written as GGUF", where=folder / "config.json"
        )
    if settings.get("hidden_act", "silu") != "silu":
        raise InputError(
            f"activation {settings['hidden_act']!r} cannot be written as GGUF: llama.cpp's Llama "
            "has silu",
            where=folder / "config.json",
        )


def write_gguf(folder: Path, settings: dict[str, Any], path: Path, storage: str) -> None:
    """Write the file; one tensor is in memory at a time."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(FILE_TYPES[storage])
    _add_shape(writer, settings, folder.name)
    add_vocabulary(writer, folder, settings["vocab_size"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, settings["num_hidden_layers"])
    plan = [(name, shape, _target(name, names, folder)) for name, shape in _tensor_shapes(folder)]
    for _, shape, target in plan:
        kind = storage_of(shape, storage)
        packed = gguf.quant_shape_to_byte_shape(shape, kind)
        num_bytes = int(np.prod(packed))
        writer.add_tensor_info(target, shape, np.dtype(np.float32), num_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for (_, shape, target), tensor in zip(plan, _tensors(folder), strict=True):
        data = _interleaved(target, tensor, settings)
        writer.write_tensor_data(gguf.quants.quantize(data, storage_of(shape, storage)))
    writer.close()


def storage_of(shape: tuple[int, ...], storage: str) -> gguf.GGMLQuantizationType:
    """Type of one tensor: vectors stay f32, rows that q8_0 cannot cut into 32 become f16."""
    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    if storage == "q8_0" and shape[-1] % 32:
        return gguf.GGMLQuantizationType.F16
    return STORAGE[storage]


def _add_shape(writer: gguf.GGUFWriter, settings: dict[str, Any], name: str) -> None:
    heads = settings["num_attention_heads"]
    head_dim = settings.get("head_dim") or settings["hidden_size"] // heads
    rope = rope_parameters(settings)
    writer.add_name(name)
    writer.add_context_length(settings["max_position_embeddings"])
    writer.add_embedding_length(settings["hidden_size"])
    writer.add_block_count(settings["num_hidden_layers"])
    writer.add_feed_forward_length(settings["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(settings.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    if rope["rope_type"] != "default":
        writer.add_rope_scaling_type(ROPE_SCALINGS[rope["rope_type"]])
        writer.add_rope_scaling_factor(float(rope["factor"]))
        writer.add_rope_scaling_orig_ctx_len(trained_context(settings))
    writer.add_layer_norm_rms_eps(settings["rms_norm_eps"])
    writer.add_vocab_size(settings["vocab_size"])


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _tensor_shapes(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for shard in _shards(folder):
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                yield name, tuple(file.get_slice(name).get_shape())


def _tensors(folder: Path) -> Iterator[np.ndarray]:
    for shard in _shards(folder):
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield file.get_tensor(name).float().numpy()


def _target(name: str, names: gguf.TensorNameMap, folder: Path) -> str:
    target = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if target is None:
        raise InputError(
            f"tensor {name!r} has no place in a GGUF of this architecture", where=folder
        )
    return str(target)


def _interleaved(target: str, tensor: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """q and k rows in llama.cpp's rotary order; every other tensor as it is."""
    if target.endswith(("attn_q.weight", "attn_q.bias")):
        heads = settings["num_attention_heads"]
    elif target.endswith(("attn_k.weight", "attn_k.bias")):
        heads = settings.get("num_key_value_heads") or settings["num_attention_heads"]
    else:
        return np.ascontiguousarray(tensor)
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(tensor.shape))
