"""Tensors of a checkpoint as those of a GGUF: renamed, put in order, one in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import gguf
import numpy as np
from safetensors import safe_open

from dilmac.core import InputError
from dilmac.export.architectures import Architecture, Settings, num_experts, num_heads, num_kv_heads

STORAGE = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
ROUTER = ".mlp.gate.weight"  # chooses experts; stays f32, as in llama.cpp's own conversion
_EXPERT = re.compile(r"(.+\.mlp\.experts)\.(\d+)\.((?:gate|up|down)_proj\.weight)")


@dataclass(frozen=True)
class Written:
    """A tensor of the GGUF, and the checkpoint's that it is made of: one, or that of every expert
    of a layer, [experts, out, in]."""

    name: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType
    sources: tuple[str, ...]


class Weights:
    """The safetensors of a model folder, each tensor read when it is asked for."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._open = ExitStack()
        self._file_of: dict[str, Any] = {}
        for shard in sorted(folder.glob("*.safetensors")):
            file = self._open.enter_context(safe_open(shard, framework="pt"))
            self._file_of.update(dict.fromkeys(file.keys(), file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every tensor's name and shape."""
        for name, file in self._file_of.items():
            yield name, tuple(file.get_slice(name).get_shape())

    def exact_storage(self) -> str:
        """The GGUF type that loses nothing of the matrices."""
        kinds = {file.get_slice(name).get_dtype() for name, file in self._file_of.items()}
        return {("BF16",): "bf16", ("F16",): "f16"}.get(tuple(kinds), "f32")

    def read(self, written: Written) -> np.ndarray:
        """The values of a tensor of the GGUF, in float32."""
        parts = [self._file_of[name].get_tensor(name).float().numpy() for name in written.sources]
        return np.stack(parts) if len(written.shape) > parts[0].ndim else parts[0]

    def is_head_spare(self) -> bool:
        """Whether the head is the embedding once more. Where a config ties them and they differ,
        transformers reads both, and so does llama.cpp."""
        import torch

        head, embedding = (self._file_of[name].get_tensor(name) for name in (HEAD, EMBEDDING))
        return bool(torch.equal(head, embedding))


def plan_tensors(
    weights: Weights, architecture: Architecture, settings: Settings, storage: str
) -> list[Written]:
    """What is written, in order.

    Raises:
        InputError: a tensor has no place in a GGUF of this architecture, or an expert is missing.
    """
    names = gguf.get_tensor_name_map(architecture.kind, settings["num_hidden_layers"])
    found: dict[str, dict[int, str]] = {}  # a tensor of its own has the number -1
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in weights.shapes():
        if name == HEAD and settings.get("tie_word_embeddings") and weights.is_head_spare():
            continue
        expert = _EXPERT.fullmatch(name) if architecture.has_experts else None
        together = f"{expert[1]}.{expert[3]}" if expert else name
        found.setdefault(together, {})[int(expert[2]) if expert else -1] = name
        shapes[together] = shape
    plan = []
    for name, sources in found.items():
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise InputError(
                f"tensor {name!r} has no place in a GGUF of this architecture", where=weights.folder
            )
        shape = shapes[name]
        if -1 not in sources:
            _require_experts(name, sources, num_experts(settings), weights.folder)
            shape = (len(sources), *shape)
        kind = STORAGE["f32"] if name.endswith(ROUTER) else storage_of(shape, storage)
        ordered = tuple(sources[number] for number in sorted(sources))
        plan.append(Written(str(target), shape, kind, ordered))
    return plan


def _require_experts(name: str, sources: dict[int, str], expected: int, folder: Path) -> None:
    if sorted(sources) != list(range(expected)):
        raise InputError(
            f"{name} has {len(sources)} experts, config.json says {expected}",
            where=folder,
            mend="is a shard missing?",
        )


def storage_of(shape: tuple[int, ...], storage: str) -> gguf.GGMLQuantizationType:
    """Type of one tensor: vectors stay f32, rows that q8_0 cannot cut into 32 become f16."""
    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    if storage == "q8_0" and shape[-1] % 32:
        return gguf.GGMLQuantizationType.F16
    return STORAGE[storage]


def interleaved(target: str, tensor: np.ndarray, settings: Settings) -> np.ndarray:
    """q and k rows as llama.cpp's Llama rotates them; every other tensor as it is."""
    if target.endswith(("attn_q.weight", "attn_q.bias")):
        heads = num_heads(settings)
    elif target.endswith(("attn_k.weight", "attn_k.bias")):
        heads = num_kv_heads(settings)
    else:
        return tensor
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape)
