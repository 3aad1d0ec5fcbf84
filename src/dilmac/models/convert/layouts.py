"""Names and layouts of other houses, put into those of transformers.

litgpt    Llama: fused q, k and v, by groups of heads (`attn.attn`) or one after the other
          (`attn.qkv`)                                 github.com/Lightning-AI/litgpt
meta      Llama: rotary rows interleaved               github.com/meta-llama/llama, llama2.c
nanogpt   GPT-2: linear layers where GPT-2 has transposed ones, biases left out at will
                                                       github.com/karpathy/nanoGPT
transformers   its own names, with or without the outer `model.`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dilmac.core import InputError

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]
    Shapes = Mapping[str, tuple[int, ...]]

LITGPT = {
    r"transformer\.wte\.(weight)": r"model.embed_tokens.\1",
    r"transformer\.ln_f\.(weight)": r"model.norm.\1",
    r"transformer\.h\.(\d+)\.norm_1\.(weight)": r"model.layers.\1.input_layernorm.\2",
    r"transformer\.h\.(\d+)\.norm_2\.(weight)": r"model.layers.\1.post_attention_layernorm.\2",
    r"transformer\.h\.(\d+)\.attn\.proj\.(\w+)": r"model.layers.\1.self_attn.o_proj.\2",
    r"transformer\.h\.(\d+)\.mlp\.fc_1\.(\w+)": r"model.layers.\1.mlp.gate_proj.\2",
    r"transformer\.h\.(\d+)\.mlp\.fc_2\.(\w+)": r"model.layers.\1.mlp.up_proj.\2",
    r"transformer\.h\.(\d+)\.mlp\.proj\.(\w+)": r"model.layers.\1.mlp.down_proj.\2",
    r"lm_head\.(weight)": r"lm_head.\1",
}
META = {
    r"tok_embeddings\.(weight)": r"model.embed_tokens.\1",
    r"norm\.(weight)": r"model.norm.\1",
    r"output\.(weight)": r"lm_head.\1",
    r"layers\.(\d+)\.attention_norm\.(weight)": r"model.layers.\1.input_layernorm.\2",
    r"layers\.(\d+)\.ffn_norm\.(weight)": r"model.layers.\1.post_attention_layernorm.\2",
    r"layers\.(\d+)\.attention\.w([qkvo])\.(weight)": r"model.layers.\1.self_attn.\2_proj.\3",
    r"layers\.(\d+)\.feed_forward\.w1\.(weight)": r"model.layers.\1.mlp.gate_proj.\2",
    r"layers\.(\d+)\.feed_forward\.w3\.(weight)": r"model.layers.\1.mlp.up_proj.\2",
    r"layers\.(\d+)\.feed_forward\.w2\.(weight)": r"model.layers.\1.mlp.down_proj.\2",
}
FUSED = re.compile(r"transformer\.h\.(\d+)\.attn\.(attn|qkv)\.(weight|bias)")
TRANSPOSED = re.compile(r".*\.(c_attn|c_proj|c_fc)\.weight")
# Tables that are computed from the shape: rotary frequencies, causal masks.
COMPUTED = re.compile(
    r"(.*\.)?(inv_freq|freqs_cis|freqs_cos|freqs_sin|(?<!attn\.)attn\.bias|masked_bias|cos|sin)"
)
SIGNATURES = {
    "litgpt": re.compile(r"(.*?)transformer\.h\.0\.norm_1\.weight"),
    "meta": re.compile(r"(.*?)layers\.0\.attention\.wq\.weight"),
    "nanogpt": re.compile(r"(.*?)transformer\.h\.0\.attn\.c_attn\.weight"),
}
OUTER = ("", "model.", "net.")  # stripped from transformers' names, where that fits better
INNER = ("", "model.", "transformer.")  # put before them: what LlamaModel or GPT2Model saved


@dataclass
class Renamed:
    """Tensors under the names of transformers; names that were left out, with the reason."""

    layout: str
    tensors: Tensors
    prefix: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    filled: list[str] = field(default_factory=list)


def layout_of(tensors: Tensors) -> tuple[str, str]:
    """The layout by a name that only it has, and what stands before that layout's names."""
    for layout, signature in SIGNATURES.items():
        for name in tensors:
            if found := signature.fullmatch(name):
                return layout, found[1]
    return "transformers", ""


def rename(tensors: Tensors, config: Any, expected: Shapes) -> Renamed:
    """The tensors as a transformers model of `config` wants them; `expected` are its shapes.

    Raises:
        InputError: the layout is of another architecture than the config.
    """
    layout, prefix = layout_of(tensors)
    wanted = {"litgpt": "llama", "meta": "llama", "nanogpt": "gpt2"}.get(layout)
    if wanted and config.model_type != wanted:
        raise InputError(
            f"the weights are a {wanted} in the layout of {layout}, the config a "
            f"{config.model_type}",
            where="--config",
            mend=f"give a config of model_type {wanted}",
        )
    left_out = {}
    kept = {}
    for name, tensor in tensors.items():
        bare = name.removeprefix(prefix)
        if COMPUTED.fullmatch(bare) and bare not in expected:
            left_out[name] = "computed from the shape"
        else:
            kept[bare] = tensor
    renamed = Renamed(layout, {}, prefix, left_out)
    if layout == "litgpt":
        renamed.tensors = _litgpt(kept, config)
    elif layout == "meta":
        renamed.tensors = _meta(kept, config)
    elif layout == "nanogpt":
        _nanogpt(kept, expected, renamed)
    else:
        renamed.prefix, renamed.tensors = _best_prefix(kept, expected)
    return renamed


def _by_table(name: str, table: dict[str, str]) -> str:
    for pattern, target in table.items():
        if found := re.fullmatch(pattern, name):
            return found.expand(target)
    return name  # has no place, and will be reported


def _litgpt(tensors: Tensors, config: Any) -> Tensors:
    found: Tensors = {}
    for name, tensor in tensors.items():
        fused = FUSED.fullmatch(name)
        if not fused or len(tensor) != _fused_rows(config):
            found[_by_table(name, LITGPT)] = tensor
            continue
        parts = _split_by_group(tensor, config) if fused[2] == "attn" else _split(tensor, config)
        for kind, part in zip("qkv", parts, strict=True):
            found[f"model.layers.{fused[1]}.self_attn.{kind}_proj.{fused[3]}"] = part
    return found


def _fused_rows(config: Any) -> int:
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    return int(heads * config.head_dim)


def _split(tensor: torch.Tensor, config: Any) -> tuple[torch.Tensor, ...]:
    """Rows `[q; k; v]`."""
    q, kv = (n * config.head_dim for n in (config.num_attention_heads, config.num_key_value_heads))
    parts: tuple[torch.Tensor, ...] = tensor.split((q, kv, kv))
    return parts


def _split_by_group(tensor: torch.Tensor, config: Any) -> tuple[torch.Tensor, ...]:
    """Rows `[q … q k v]` of each group of heads that shares its keys and values."""
    import torch

    groups = config.num_key_value_heads
    heads = config.num_attention_heads // groups
    sizes = (heads * config.head_dim, config.head_dim, config.head_dim)
    chunks = [chunk.split(sizes) for chunk in tensor.chunk(groups)]
    return tuple(torch.cat([chunk[kind] for chunk in chunks]) for kind in range(3))


def _meta(tensors: Tensors, config: Any) -> Tensors:
    found: Tensors = {}
    for name, tensor in tensors.items():
        target = _by_table(name, META)
        heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}
        kind = re.search(r"self_attn\.([qk])_proj\.weight$", target)
        found[target] = _halved(tensor, heads[kind[1]]) if kind else tensor
    return found


def _halved(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Rotary rows of each head from pairs (0 1)(2 3)… to halves 0 2 4 … 1 3 5 …"""
    if len(tensor) % (2 * heads):
        return tensor  # of another shape, and will be reported
    pairs = tensor.reshape(heads, len(tensor) // heads // 2, 2, *tensor.shape[1:])
    return pairs.transpose(1, 2).reshape(tensor.shape)


def _nanogpt(tensors: Tensors, expected: Shapes, renamed: Renamed) -> None:
    """GPT-2's names are nanoGPT's own; its matrices stand the other way round."""
    import torch

    first = "transformer.h.0.attn.c_attn.weight"
    is_transposed = tuple(tensors[first].shape) == tuple(reversed(expected.get(first, ())))
    if not is_transposed:
        renamed.layout = "transformers"
    for name, tensor in tensors.items():
        turn = is_transposed and tensor.ndim == 2 and TRANSPOSED.fullmatch(name)
        renamed.tensors[name] = tensor.T if turn else tensor
    has_biases = any(name.endswith(".bias") for name in tensors)
    if is_transposed and not has_biases:  # nanoGPT's `bias=False`, which GPT-2 does not know
        for name, shape in expected.items():
            if name.endswith(".bias") and name not in tensors:
                renamed.tensors[name] = torch.zeros(shape, dtype=tensors[first].dtype)
                renamed.filled.append(name)


def _best_prefix(tensors: Tensors, expected: Shapes) -> tuple[str, Tensors]:
    """The names of transformers, with or without the outer module's; the fit decides."""
    best: tuple[str, Tensors] = ("", tensors)
    most = -1
    for outer in OUTER:
        for inner in INNER:
            names = {_moved(name, outer, inner): tensor for name, tensor in tensors.items()}
            fitting = sum(name in expected for name in names)
            if fitting > most and len(names) == len(tensors):
                best, most = (_said(outer, inner), names), fitting
    return best


def _moved(name: str, outer: str, inner: str) -> str:
    bare = name.removeprefix(outer)
    return bare if bare.startswith("lm_head.") else inner + bare


def _said(outer: str, inner: str) -> str:
    return outer if not inner else f"{outer}→{inner}"
