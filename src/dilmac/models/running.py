"""Memory of running a model: weights by format, keys and values of the context, buffers.

    weights   parameters × bits of the format
    KV cache  2 × layers that keep it × KV heads × width of a head × bytes of a number, a token
    state     what layers without keys and values keep, a sequence
    buffers   a tenth of the above and 300 MiB

The trap: the KV cache follows layers and KV heads, not parameters. Qwen3-0.6B's cache of 8,192
tokens is 896 MiB, more than twice its 4-bit weights; that of Qwen2.5-7B is 448 MiB.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from dilmac.models.catalogue.entries import Entry, Shape

Format = Literal["f32", "bf16", "q8_0", "q5_k_m", "q4_k_m"]
FORMATS: tuple[Format, ...] = get_args(Format)
KvType = Literal["f16", "q8_0", "q4_0"]
# Bytes of a number: blocks of 32 numbers with a scale of two bytes (ggml).
KV_BYTES: dict[KvType, float] = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
# Beside weights and cache llama.cpp's server took 8 to 17 MiB on the CPU (a small model with
# Qwen3's rows, 512 to 4 × 8,192 tokens). The rest is room for a GPU's runtime and wider layers.
BUFFER_SHARE = 0.10
BUFFER_BYTES = 300 << 20

PLAIN_BITS: dict[str, float] = {"f32": 32, "bf16": 16}
# Bits of a number by ggml type: bytes of a block × 8 / numbers in it (the test asks gguf).
TYPE_BITS = {
    "F16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.5625,
    "Q5_K": 5.5,
    "Q4_K": 4.5,
    "Q5_1": 6.0,
    "Q5_0": 5.5,
}
# The type of most matrices, and of those that llama.cpp's mixtures keep finer: the output table,
# and the values' and SwiGLU's down matrices of half the layers.
MIXTURES = {"q8_0": ("Q8_0", "Q8_0"), "q5_k_m": ("Q5_K", "Q6_K"), "q4_k_m": ("Q4_K", "Q6_K")}
# A row that a K-quant's blocks of 256 do not divide is stored in blocks of 32.
INSTEAD = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
NEARLY_ALL = 0.97  # the rest of a Llama is norms, biases and routers
# For shapes that are not wholly known: measured on Qwen3-0.6B's shape. Larger models, whose tables
# are a smaller part, need less (Qwen3-8B 4.9 in q4_k_m).
MEASURED_BITS = {"q8_0": 8.54, "q5_k_m": 5.92, "q4_k_m": 5.28}


@dataclass(frozen=True)
class Running:
    """Bytes that a model takes while it runs."""

    weights: int
    kv_cache: int
    state: int
    buffers: int

    @property
    def total(self) -> int:
        """[bytes]"""
        return self.weights + self.kv_cache + self.state + self.buffers

    def parts(self) -> dict[str, int]:
        """Every part, and their sum, by name [bytes]."""
        return {**asdict(self), "total": self.total}


def running_bytes(
    model: Entry, weights: Format, context: int, *, slots: int = 1, kv_type: KvType = "f16"
) -> Running | None:
    """What a model needs to answer `slots` conversations of `context` tokens each.

    None where its parameters, or the shape of its KV cache, are unknown.
    """
    per_token = kv_bytes_per_token(model, kv_type)
    stored = weight_bytes(model, weights)
    if per_token is None or stored is None:
        return None
    kv_cache = round(per_token * context * slots)
    state = model.state_bytes * slots
    buffers = round(BUFFER_SHARE * (stored + kv_cache + state)) + BUFFER_BYTES
    return Running(weights=stored, kv_cache=kv_cache, state=state, buffers=buffers)


def kv_bytes_per_token(shape: Shape, kv_type: KvType = "f16") -> float | None:
    """Keys and values that one token leaves behind [bytes]; None where the shape is unknown."""
    layers = shape.layers if shape.full_attention_layers is None else shape.full_attention_layers
    if layers is None or shape.kv_heads is None or shape.head_dim is None:
        return None
    return 2 * layers * shape.kv_heads * shape.head_dim * KV_BYTES[kv_type]


def weight_bytes(model: Entry, weights: Format) -> int | None:
    """The weights in a format [bytes]; None where the number of parameters is unknown."""
    if model.size is None:
        return None
    return round(model.size * bits_per_weight(model, weights) / 8)


def active_bytes(model: Entry, weights: Format) -> int | None:
    """The weights that are read for one token [bytes]."""
    if model.active_size is None:
        return None
    return round(model.active_size * bits_per_weight(model, weights) / 8)


def bits_per_weight(model: Entry, weights: Format) -> float:
    """True bits of a weight, averaged over the model.

    Counted from the shape as llama.cpp chooses its types (`llama_tensor_get_type`), which is
    within 1.5 % of files measured; for a shape that is not wholly known, a figure measured.
    """
    if weights in PLAIN_BITS:
        return PLAIN_BITS[weights]
    matrices = _matrices(model)
    if matrices is None or model.params is None:
        return MEASURED_BITS[weights]
    usual, fine = MIXTURES[weights]
    numbers = sum(count for _, count, _ in matrices)
    bits = sum(
        count * (share * _type_bits(fine, row) + (1 - share) * _type_bits(usual, row))
        for row, count, share in matrices
    )
    return (bits + 32 * (model.params - numbers)) / model.params  # norms, biases, routers: f32


def _matrices(model: Entry) -> list[tuple[int, int, float]] | None:
    """Every kind of matrix: length of a row, numbers in all layers, the share kept finer.

    None where the shape is not wholly known, or is another than Llama's, which shows in that these
    matrices are not nearly all of the parameters.
    """
    layers, hidden, vocab = model.layers, model.hidden, model.vocab
    heads, kv_heads, width = model.heads, model.kv_heads, model.head_dim
    inner = model.moe_intermediate if model.experts else model.intermediate
    if not (layers and hidden and vocab and heads and kv_heads and width and inner):
        return None
    if model.full_attention_layers is not None or model.tied is None:
        return None  # layers without keys and values have matrices of another kind
    half = _finer_layers(layers) / layers
    times = layers * (model.experts or 1)
    table, keys = vocab * hidden, layers * hidden * kv_heads * width
    found = [
        (hidden, table, 1.0),  # the output table; a tied one is stored once
        (hidden, keys, 0.0),
        (hidden, keys, half),  # values
        (hidden, layers * hidden * heads * width, 0.0),
        (heads * width, layers * hidden * heads * width, 0.0),
        (hidden, times * 2 * hidden * inner, 0.0),
        (inner, times * hidden * inner, half),  # down
    ]
    if shared := model.shared_intermediate:
        found += [(hidden, layers * 2 * hidden * shared, 0.0)]
        found += [(shared, layers * hidden * shared, half)]
    if not model.tied:
        found.append((hidden, table, 0.0))
    share = sum(count for _, count, _ in found) / (model.params or 1)
    return found if NEARLY_ALL <= share <= 1 else None


def _finer_layers(layers: int) -> int:
    """Layers whose values and down matrices are kept finer: an eighth at either end, and every
    third between (llama.cpp's `use_more_bits`).
    """
    eighth = layers // 8
    return sum(
        layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
        for layer in range(layers)
    )


def _type_bits(kind: str, row: int) -> float:
    if kind.endswith("_K") and row % 256:
        kind = INSTEAD[kind]
    return TYPE_BITS["F16" if row % 32 else kind]
