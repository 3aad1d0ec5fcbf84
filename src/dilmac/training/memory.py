"""What to lower when a training run has too little memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from dilmac.core import DilmacError
from dilmac.models import BYTES_PER_GIB, Estimate, Preset, training_bytes

if TYPE_CHECKING:
    from dilmac.training.config import FinetuneConfig

USABLE_SHARE = 0.9  # of a device's memory: the rest is the runtime's, and lost between blocks
CPU_WORDS = ("can't allocate memory", "not enough memory", "out of memory")
_CAPACITY = re.compile(r"total capacity of ([0-9.]+) ([KMGT]iB)")
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def _preset_of(config: Any) -> Preset:
    """The shape of a model's config."""
    return Preset(
        architecture="qwen3" if config.model_type == "qwen3" else "llama",
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


def tuning_out_of_memory(error: BaseException, config: FinetuneConfig) -> DilmacError:
    """What to lower in a fine-tuning whose memory ran out, the mildest change first."""
    micro = config.micro_batch_size or config.batch_size
    changes = []
    if micro > 1:
        changes.append(f"--micro-batch-size {micro // 2} (now {micro}; the losses are the same)")
    if not config.gradient_checkpointing:
        changes.append("--gradient-checkpointing (slower; the losses are the same)")
    changes.append("a smaller --max-length")
    if config.method != "qlora":
        smaller = "qlora" if config.method in ("lora", "dora", "ia3") else "lora"
        changes.append(f"--method {smaller}")
    said = (str(error) or type(error).__name__).splitlines()[0]
    return DilmacError(
        f"out of memory with {micro} examples in memory at once ({said})",
        where="--micro-batch-size",
        mend=", or ".join(changes) + ", with --force, because the settings are others; "
        "`dilmac estimate finetune …` says what they need",
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
