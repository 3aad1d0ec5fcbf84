"""Memory of fine-tuning, counted before it runs: what is frozen, and what is trained.

A trained number is a weight, a gradient and AdamW's two moments in fp32: 16 bytes. A frozen one is
as it was loaded, fp32; with qlora the matrices of the blocks are in 4 bits.
"""

from __future__ import annotations

from dilmac.models import (
    SCRATCH,
    Estimate,
    Preset,
    kept_bytes,
    num_block_parameters,
    num_parameters,
)

FP32 = 4
# Bytes of a number. NF4: 4 bits, and for every 64 numbers one scale of 8 bits, whose own scales
# are an fp32 for 256 of them (Dettmers et al. 2023, arXiv:2305.14314, double quantization).
PACKED = {"nf4": 0.5 + 1 / 64 + FP32 / (64 * 256), "int8": 1.0}
# Logits exist in tiles, of the tokens that are learned (trl 1.16, kernels/chunked_logprob.py).
TILE_TOKENS, TILE_ROWS = 4096, 32_768
LOGIT_COPIES = 7  # of a tile in fp32 in its backward pass, on a device without Triton


def finetuning_bytes(
    shape: Preset,
    num_rows: int,
    batch_tokens: int,
    *,
    context: int,
    method: str = "lora",
    lora_rank: int = 16,
    train_embeddings: bool = True,
    new_rows: int | None = None,
    packed: str = "nf4",
    precision: str = "bf16",
    checkpointing: bool = False,
    learned_tokens: int | None = None,
    device: str = "cpu",
) -> Estimate:
    """Bytes at the peak of a step of `dilmac finetune` on `batch_tokens`, padding included.

    The head reads `learned_tokens` of them, those of answers (None: all).
    `method` is full, lora, dora, ia3 or qlora, whose matrices are `packed` as nf4 or int8;
    `context` the longest example [tokens]. Of the tables' rows `new_rows` are trained (None: all)
    if `train_embeddings`.
    """
    width, layers = shape.hidden_size, shape.num_layers
    wide = FP32 if precision == "fp32" else 2
    parameters, blocks = num_parameters(shape, num_rows), num_block_parameters(shape)
    tables, norms = parameters - blocks, (2 * layers + 1) * width
    rows = 0 if not train_embeddings or method == "ia3" else tables
    if rows and new_rows is not None and method != "full":
        rows = tables // num_rows * new_rows
    is_full = method == "full"
    added = blocks if is_full else num_adapter_parameters(shape, lora_rank, method)
    trained = added + rows
    frozen_bytes = FP32 * (parameters - trained if is_full else parameters)
    if method == "qlora":
        frozen_bytes = round((blocks - norms) * PACKED[packed]) + wide * (norms + tables)
    kept, again = kept_bytes(shape, "fp32" if wide == FP32 else "bf16"), 0
    kept += 0 if is_full else _kept_beside(shape, method, lora_rank, wide)
    if checkpointing:
        kept, again = wide * width * layers, kept // layers
    tile = _tile_bytes(learned_tokens or batch_tokens, num_rows, wide, device)
    head = num_rows * width
    logits = tile + (FP32 * head if rows else 0)  # the gradient of the head's table
    scratch = max(0, batch_tokens * (again + SCRATCH * width) - logits)
    copies = 0  # as autocast multiplies them; packed ones a matrix at a time
    if method == "qlora":
        copies = wide * width * shape.intermediate_size
    elif wide == 2:
        copies = 2 * (blocks - norms + head)
    # Old and new rows are put together for every step.
    copies += 2 * wide * head if rows and rows < tables else 0
    return Estimate(
        weights=frozen_bytes + FP32 * trained,
        gradients=FP32 * trained,
        optimizer=2 * FP32 * trained,
        copies=copies,
        activations=batch_tokens * kept + scratch + 2 * FP32 * context * shape.head_size,
        logits=logits,
    )


def _tile_bytes(tokens: int, rows: int, wide: int, device: str) -> int:
    """A tile of logits, with what its backward pass holds beside it where Triton does not run."""
    each = wide + (0 if device == "cuda" else FP32 * LOGIT_COPIES)
    return min(tokens, TILE_TOKENS) * min(rows, TILE_ROWS) * each


def _sides(shape: Preset) -> list[tuple[int, int]]:
    """Numbers in and out of every matrix of a block."""
    width, heads = shape.hidden_size, shape.num_heads * shape.head_size
    narrow, feed = shape.num_kv_heads * shape.head_size, shape.intermediate_size
    attention = [(width, heads), (width, narrow), (width, narrow), (heads, width)]
    return [*attention, (width, feed), (width, feed), (feed, width)]


def num_adapter_parameters(shape: Preset, rank: int, method: str = "lora") -> int:
    """Numbers in adapters of every matrix of the blocks: of lora, rank times its two sides."""
    sides = _sides(shape)
    if method == "ia3":  # keys, values, and what goes into the last matrix
        return shape.num_layers * (sides[1][1] + sides[2][1] + sides[6][0])
    added = sum(rank * (before + after) for before, after in sides)
    if method == "dora":  # a length of every row, too
        added += sum(after for _, after in sides)
    return shape.num_layers * added


def _kept_beside(shape: Preset, method: str, rank: int, wide: int) -> int:
    """What adapters keep of a token: the narrow states, and with dora what is scaled."""
    sides = _sides(shape)
    each = rank * len(sides)
    if method == "ia3":
        each = sides[1][1] + sides[2][1] + sides[6][0]
    if method == "dora":
        each += 2 * sum(after for _, after in sides)
    return shape.num_layers * wide * each
