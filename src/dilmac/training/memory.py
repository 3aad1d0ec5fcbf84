"""Memory that a training run needs, part by part, and what to lower when there is too little."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import torch

from dilmac.core import DilmacError
from dilmac.models import Preset, kept_bytes, num_block_parameters, num_parameters
from dilmac.training.loss import CHUNK_BYTES

BYTES_PER_GIB = 1 << 30
USABLE_SHARE = 0.9  # of a device's memory: the rest is the runtime's, and lost between blocks
CPU_WORDS = ("can't allocate memory", "not enough memory", "out of memory")
# Gradients inside the layer that runs backward [bytes a token and unit of width]: 17 to 32 were
# found on transformers' Llama, bf16 and fp32.
SCRATCH = 24
_CAPACITY = re.compile(r"total capacity of ([0-9.]+) ([KMGT]iB)")
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@dataclass(frozen=True)
class Estimate:
    """Bytes of a run at its peak, which is in the backward pass of the last micro-batch."""

    weights: int  # fp32
    gradients: int  # fp32
    optimizer: int  # its moments, fp32
    copies: int  # the weights as autocast multiplies them
    activations: int  # what the layers keep for the backward pass
    logits: int  # logits, log-probabilities and their gradients

    @property
    def total(self) -> int:
        """[bytes]"""
        return self.fixed + self.activations + self.logits

    @property
    def fixed(self) -> int:
        """What does not depend on the tokens in memory at once [bytes]."""
        return self.weights + self.gradients + self.optimizer + self.copies

    def parts(self) -> dict[str, int]:
        """Every part by its name [bytes]."""
        return asdict(self)


def training_bytes(
    shape: Preset | Any,
    vocab_size: int,
    micro_tokens: int,
    *,
    context: int,
    optimizer: str = "adamw",
    precision: str = "bf16",
    checkpointing: bool = False,
    chunked_loss: bool = True,
    compiled: bool = False,
    device: str = "cuda",
    num_shards: int = 1,
) -> Estimate:
    """What training a preset (or a `LlamaConfig`) needs with `micro_tokens` in memory at once.

    Counted for layers that are run one operation after the other (attention by SDPA, which keeps
    no matrix); of what `compiled` saves only the loss's part is deducted. `optimizer` is `adamw`
    (two moments of every parameter) or `muon` (one of the blocks' matrices, two of the rest);
    `chunked_loss` is the loss of `training/loss.py` on this kind of device, without it all logits
    exist at once; with FSDP weights, gradients and moments are divided among `num_shards`
    processes. Not counted: what the runtime itself takes, some hundred MiB on a GPU.

    On small models it was within 15 % of the tensors that exist at the peak of real steps.
    """
    preset = shape if isinstance(shape, Preset) else _preset_of(shape)
    layers, width = preset.num_layers, preset.hidden_size
    parameters, table = num_parameters(preset, vocab_size), vocab_size * width
    matrices = num_block_parameters(preset) - (2 * layers + 1) * width  # without the norms
    moments = 2 * parameters - (matrices if optimizer == "muon" else 0)
    wide = 2 if precision in ("bf16", "fp16") else 4  # bytes of a number that is multiplied
    layer = kept_bytes(preset, 0, "bf16" if wide == 2 else "fp32") // layers
    if chunked_loss:
        numbers = max(CHUNK_BYTES.get(device, CHUNK_BYTES["cpu"]) // wide, 64 * vocab_size)
        # A chunk's logits and their gradient, and what is between them in fp32 unless it is fused;
        # the gradient of the table, and that gradient scaled.
        each = 2 * wide + (0 if compiled else 16)
        logits = min(numbers, micro_tokens * vocab_size) * each + 8 * table
    else:
        # The logits, their log-probabilities, and two gradients of these at the same time.
        logits = micro_tokens * vocab_size * (12 + wide)
    # With checkpointing a layer keeps its input, and is made again when its turn comes.
    kept, again = (wide * width * layers, layer) if checkpointing else (layer * layers, 0)
    # The logits are gone when the layers run backward; their room serves again.
    scratch = max(0, micro_tokens * (again + SCRATCH * width) - logits)
    copied = (matrices // layers if checkpointing else matrices) + table
    rotary = 2 * 4 * context * preset.head_size
    return Estimate(
        weights=4 * parameters // num_shards,
        gradients=4 * parameters // num_shards,
        optimizer=4 * moments // num_shards,
        copies=2 * copied if wide == 2 else 0,
        activations=micro_tokens * kept + scratch + rotary,
        logits=logits,
    )


def _preset_of(config: Any) -> Preset:
    """The shape of a `LlamaConfig`."""
    return Preset(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None),
        context=config.max_position_embeddings,
        tied=config.tie_word_embeddings,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in CPU_WORDS)


def device_bytes(error: BaseException | None, device: torch.device) -> int | None:
    """All memory of the device: as the error says, else as the device does [bytes]."""
    if error is not None and (found := _CAPACITY.search(str(error))):
        return int(float(found[1]) * _UNITS[found[2]])
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    if device.type == "cpu":
        import psutil  # comes with accelerate

        return int(psutil.virtual_memory().total)
    return None


def out_of_memory_error(
    error: BaseException,
    *,
    config: Any,
    model: Any,
    micro_batch: int,
    context: int,
    precision: str,
    checkpointing: bool,
    num_shards: int = 1,
) -> DilmacError:
    """What to tell the user: how much the run needs, what there is, and which flag to set to what.

    `config` is the `PretrainConfig` (`optimizer` and `compile` are read), `model` the
    `LlamaForCausalLM`, `micro_batch` the windows of `context` tokens in memory at once,
    `num_shards` the processes that FSDP divides the model among.
    """
    device = next(iter(model.parameters())).device
    asked = getattr(config, "compile", "off")
    compiled = asked == "on" or (asked == "auto" and device.type == "cuda")
    need = _Need(
        _preset_of(model.config),
        int(model.config.vocab_size),
        context,
        str(getattr(config, "optimizer", "adamw")),
        precision,
        compiled,
        device.type,
        num_shards,
    )
    tokens = micro_batch * context
    estimate = need.estimate(tokens, checkpointing)
    capacity = device_bytes(error, device)
    has = f"; {device} has {_shown(capacity)}" if capacity else ""
    return DilmacError(
        f"out of memory with {tokens:,} tokens in memory at once: the run needs about "
        f"{_shown(estimate.total)} ({_shown(estimate.fixed)} for weights, gradients and optimizer, "
        f"{_shown(estimate.activations)} for activations, {_shown(estimate.logits)} for "
        f"logits){has}",
        where="--micro-batch-tokens",
        mend=_advice(need, tokens, checkpointing, capacity),
    )


@dataclass(frozen=True)
class _Need:
    """The settings of a run that memory depends on, but for what can be lowered."""

    shape: Preset
    vocab_size: int
    context: int
    optimizer: str
    precision: str
    compiled: bool
    device: str
    num_shards: int

    def estimate(self, tokens: int, checkpointing: bool) -> Estimate:
        return training_bytes(
            self.shape,
            self.vocab_size,
            tokens,
            context=self.context,
            optimizer=self.optimizer,
            precision=self.precision,
            checkpointing=checkpointing,
            compiled=self.compiled,
            device=self.device,
            num_shards=self.num_shards,
        )

    def most_tokens(self, below: int, checkpointing: bool, room: float) -> int:
        """The most whole windows under `below` tokens that fit: halves of it; 0 if none does."""
        windows = below // self.context // 2
        while windows and self.estimate(windows * self.context, checkpointing).total > room:
            windows //= 2
        return windows * self.context


def _advice(need: _Need, tokens: int, checkpointing: bool, capacity: int | None) -> str:
    """The mildest change that should be enough."""
    room = capacity * USABLE_SHARE if capacity else float("inf")
    fixed = need.estimate(0, checkpointing).fixed
    if fixed > room:
        fewer = "" if need.optimizer == "muon" else " or --optimizer muon"
        return (
            f"weights, gradients and optimizer alone take {_shown(fixed)}: take a smaller "
            f"--preset{fewer}, or more GPUs with --parallel fsdp"
        )
    if fits := need.most_tokens(tokens, checkpointing, room):
        return f"--micro-batch-tokens {fits} (now {tokens}); the result stays the same"
    if not checkpointing:
        least = need.estimate(need.context, checkpointing=True).total
        if least < room:
            fits = need.most_tokens(2 * tokens, True, room) or need.context
            lower = f" with --micro-batch-tokens {fits} (now {tokens})" if fits < tokens else ""
            return f"--gradient-checkpointing{lower}: about a third slower, the result the same"
    context = need.context // 2
    while context > 128 and need.estimate(context, checkpointing).total > room:
        context //= 2
    return f"--context {context} (now {need.context}), or a smaller --preset"


def _shown(num_bytes: int) -> str:
    return f"{num_bytes / BYTES_PER_GIB:.1f} GiB"
