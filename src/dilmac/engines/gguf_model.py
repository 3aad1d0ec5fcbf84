"""Whether what a GGUF says of its model is what its tensors are: llama.cpp would stop, or read
beyond an array, in the middle of loading."""

from __future__ import annotations

from typing import Any

import gguf

from dilmac.engines.gguf_layout import STRING, Array, Layout, LayoutError

# Those that dilmaç writes; of others only the layout is known here.
ARCHITECTURES = {
    gguf.MODEL_ARCH_NAMES[kind]: kind
    for kind in (
        gguf.MODEL_ARCH.LLAMA,
        gguf.MODEL_ARCH.QWEN2,
        gguf.MODEL_ARCH.QWEN3,
        gguf.MODEL_ARCH.QWEN3MOE,
    )
}
PARTS = (".weight", ".bias", ".scale", ".input_scale")
REQUIRED = ("token_embd.weight", "output_norm.weight")
BLOCK = "blk."
SUPPRESSED_KEY = "dilmac.suppress_tokens"  # ours, written by `dilmac export gguf`
KINDS = "tokenizer.ggml.token_type"
ROW_ARRAYS = ("scores", "token_type")  # of the tokenizer, one value for each row


def require_sound_model(layout: Layout) -> None:
    """Hold the tensors against the metadata.

    Raises:
        LayoutError: a tensor is unknown, missing or of another shape, or a row is none.
    """
    num_rows = _require_rows(layout)
    architecture = str(layout.values.get("general.architecture"))
    if _number(layout.values, f"{architecture}.context_length") < 1:
        raise LayoutError("a context of zero")
    if architecture not in ARCHITECTURES or layout.values.get("split.count", 1) not in (0, 1):
        return
    shapes = {tensor.name: tensor.shape for tensor in layout.tensors}
    num_blocks = _number(layout.values, f"{architecture}.block_count")
    _require_names(architecture, set(shapes), num_blocks)
    for name, shape in _known_shapes(layout.values, architecture, num_rows).items():
        for block in range(num_blocks):
            found = shapes.get(name.format(bid=block))
            if found is not None and found != shape:
                raise LayoutError(
                    f"{name.format(bid=block)} is {list(found)}, its metadata say {list(shape)}"
                )


def _require_rows(layout: Layout) -> int:
    values = layout.values
    tokens = values.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, Array) or tokens.kind != STRING:
        raise LayoutError("its tokens are no list of strings")
    num_rows = tokens.length
    for key in ROW_ARRAYS:
        array = values.get(f"tokenizer.ggml.{key}")
        if isinstance(array, Array) and array.length != num_rows:
            raise LayoutError(f"{array.length:,} values in {key} for {num_rows:,} tokens")
    if KINDS in values and (odd := set(layout.array(KINDS)) - set(gguf.TokenType)):
        raise LayoutError(f"a token of type {min(odd)}, which there is not")
    silent = layout.array(SUPPRESSED_KEY) if SUPPRESSED_KEY in values else []
    if not all(isinstance(row, int) and 0 <= row < num_rows for row in silent):
        raise LayoutError(f"{SUPPRESSED_KEY} are no rows")
    for key, value in values.items():
        if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
            is_row = isinstance(value, int) and 0 <= value < num_rows
            if not is_row and value != 0xFFFFFFFF:  # "none" in older files
                raise LayoutError(f"{key} is {value}, there are {num_rows:,} rows")
    return num_rows


def _require_names(architecture: str, names: set[str], num_blocks: int) -> None:
    """Every tensor is one of the architecture's, and all blocks have the same."""
    kinds = gguf.MODEL_TENSORS[ARCHITECTURES[architecture]]
    known = {gguf.TENSOR_NAMES[kind] + part for kind in kinds for part in PARTS}
    blocks: dict[int, set[str]] = {}
    for name in names:
        block, general = -1, name
        if name.startswith(BLOCK):
            number, _, rest = name.removeprefix(BLOCK).partition(".")
            is_number = number.isascii() and number.isdigit() and len(number) < 6
            block, general = int(number) if is_number else -1, f"{BLOCK}{{bid}}.{rest}"
        if general not in known or (general != name and not 0 <= block < num_blocks):
            raise LayoutError(f"{name!r} is no tensor of a {architecture} of {num_blocks} blocks")
        if name.startswith(BLOCK):
            blocks.setdefault(block, set()).add(general)
    if missing := next((name for name in REQUIRED if name not in names), None):
        raise LayoutError(f"no {missing} in it")
    if len(blocks) < num_blocks:
        raise LayoutError(f"{len(blocks)} blocks in it, its metadata say {num_blocks}")
    every = set().union(*blocks.values())
    for block, found in blocks.items():
        if found != every and (lacks := sorted(every - found)):
            raise LayoutError(f"block {block} lacks {lacks[0].format(bid=block)}")


def _known_shapes(
    values: dict[str, Any], architecture: str, num_rows: int
) -> dict[str, tuple[int, ...]]:
    def number(key: str, default: int | None = None) -> int:
        return _number(values, f"{architecture}.{key}", default)

    width, heads = number("embedding_length"), number("attention.head_count")
    if heads < 1:
        raise LayoutError(f"{heads} heads")
    kv_heads = number("attention.head_count_kv", heads)
    of_key = number("attention.key_length", width // heads)
    of_value = number("attention.value_length", width // heads)
    if min(width, kv_heads, of_key, of_value) < 1:
        raise LayoutError("a width or heads of zero")
    shapes = {
        "token_embd.weight": (width, num_rows),
        "output.weight": (width, num_rows),
        "output_norm.weight": (width,),
        "blk.{bid}.attn_norm.weight": (width,),
        "blk.{bid}.ffn_norm.weight": (width,),
        "blk.{bid}.attn_q.weight": (width, heads * of_key),
        "blk.{bid}.attn_k.weight": (width, kv_heads * of_key),
        "blk.{bid}.attn_v.weight": (width, kv_heads * of_value),
        "blk.{bid}.attn_output.weight": (heads * of_value, width),
    }
    if not values.get(f"{architecture}.expert_count"):
        inner = number("feed_forward_length")
        shapes |= {
            "blk.{bid}.ffn_up.weight": (width, inner),
            "blk.{bid}.ffn_gate.weight": (width, inner),
            "blk.{bid}.ffn_down.weight": (inner, width),
        }
    return shapes


def _number(values: dict[str, Any], key: str, default: int | None = None) -> int:
    value = values.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise LayoutError(f"{key} is {value!r}, no whole number")
    return value
