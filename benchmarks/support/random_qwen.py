"""Checkpoints of Qwen3's shapes with random weights, written tensor by tensor.

Nothing larger than a block is ever in memory: a process that makes one of 16 GB stays small.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dilmac.tokenizer import copy_tokenizer

SHARD_BYTES = 5_000_000_000  # as Qwen publishes them
BLOCK_BYTES = 1 << 20  # stays in the processor's cache
BYTES = 2  # of a bf16
# Bits of a random bf16: sign and fraction are drawn, the exponent is that of 1/64. All values are
# then between 1/64 and 1/32, as those of a trained matrix are.
DRAWN, EXPONENT = 0x807F, 0x3C80
Tensors = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Shape:
    """A dense Qwen3."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    tied: bool
    rows: int = 151_936

    @property
    def tensors(self) -> Tensors:
        """Names and shapes of all tensors, in the order of the files."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        layer: Tensors = {
            "input_layernorm": (self.width,),
            "self_attn.q_proj": (queries, self.width),
            "self_attn.k_proj": (keys, self.width),
            "self_attn.v_proj": (keys, self.width),
            "self_attn.o_proj": (self.width, queries),
            "self_attn.q_norm": (self.head_dim,),
            "self_attn.k_norm": (self.head_dim,),
            "post_attention_layernorm": (self.width,),
            "mlp.gate_proj": (self.ffn, self.width),
            "mlp.up_proj": (self.ffn, self.width),
            "mlp.down_proj": (self.width, self.ffn),
        }
        found: Tensors = {"model.embed_tokens.weight": (self.rows, self.width)}
        for number in range(self.layers):
            found |= {f"model.layers.{number}.{name}.weight": size for name, size in layer.items()}
        found["model.norm.weight"] = (self.width,)
        return found if self.tied else found | {"lm_head.weight": (self.rows, self.width)}

    @property
    def config(self) -> dict[str, object]:
        """What config.json says, with the keys of the published ones."""
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": self.rows,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.ffn,
            "tie_word_embeddings": self.tied,
            "attention_bias": False,
            "hidden_act": "silu",
            "max_position_embeddings": 40960,
            "rms_norm_eps": 1e-06,
            "rope_theta": 1000000,
            "torch_dtype": "bfloat16",
        }

    @property
    def num_bytes(self) -> int:
        return BYTES * sum(prod(size) for size in self.tensors.values())


# Of the published config.json files.
QWEN3_06B = Shape("Qwen3-0.6B", 28, 1024, 16, 8, 128, 3072, tied=True)
QWEN3_8B = Shape("Qwen3-8B", 36, 4096, 32, 8, 128, 12288, tied=False)


def make_checkpoint(shape: Shape, tokenizer: Path, folder: Path, *, seed: int = 42) -> Path:
    """Write a model folder with random weights in bf16 and the tokenizer's files; its path."""
    folder.mkdir(parents=True)
    copy_tokenizer(tokenizer, folder)
    (folder / "config.json").write_text(json.dumps(shape.config, indent=2), encoding="utf-8")
    drawn = np.random.Generator(np.random.SFC64(seed))
    shards = list(_shards(shape.tensors))
    weight_map = {}
    for number, tensors in enumerate(shards, 1):
        name = "model.safetensors"
        if len(shards) > 1:
            name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        with (folder / name).open("wb") as file:
            _write_header(file, tensors)
            for size in tensors.values():
                _write_random(file, drawn, BYTES * prod(size))
        weight_map |= dict.fromkeys(tensors, name)
    if len(shards) > 1:
        index = {"metadata": {"total_size": shape.num_bytes}, "weight_map": weight_map}
        text = json.dumps(index, indent=2)
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    return folder


def _shards(tensors: Tensors) -> Iterator[Tensors]:
    """The tensors in their order, cut before a shard would become too large."""
    held: Tensors = {}
    size = 0
    for name, shape in tensors.items():
        added = BYTES * prod(shape)
        if held and size + added > SHARD_BYTES:
            yield held
            held, size = {}, 0
        held[name] = shape
        size += added
    yield held


def _write_header(file: BinaryIO, tensors: Tensors) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + BYTES * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)


def _write_random(file: BinaryIO, drawn: np.random.Generator, num_bytes: int) -> None:
    for start in range(0, num_bytes, BLOCK_BYTES):
        size = min(BLOCK_BYTES, num_bytes - start)
        bits = drawn.integers(0, 1 << 64, -(-size // 8), np.uint64).view(np.uint16)
        bits &= DRAWN
        bits |= EXPONENT
        file.write(bits[: size // BYTES].data)
