"""The methods: which layers get an adapter, and of which kind."""

from __future__ import annotations

from typing import Any

from peft import IA3Config, LoraConfig, PeftConfig

from dilmac.core import ConfigError, say
from dilmac.training.config import FinetuneConfig
from dilmac.training.tune.rows import rows_settings

LLAMA_LIKE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Every matrix of the blocks: LoRA on attention alone learns less (Dettmers et al. 2023, fig. 2).
TARGETS = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), LLAMA_LIKE),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
}
# (IA)³ scales keys, values and the input of the last feed-forward matrix (Liu et al. 2022).
IA3_TARGETS = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), ("k_proj", "v_proj", "down_proj")),
    "gpt2": ("c_attn", "mlp.c_proj"),
}
IA3_FEEDFORWARD = ("down_proj", "mlp.c_proj")
ALL_LINEAR = "all-linear"  # peft's word for every linear layer but the head


def adapter_settings(
    base: Any, config: FinetuneConfig, first_new_row: int | None = None
) -> PeftConfig:
    """What peft is to put beside `base`, which may be on the meta device."""
    kind = str(base.config.model_type)
    targets = list(config.targets) or targets_of(kind, config.method)
    fan_in_fan_out = kind == "gpt2"  # its Conv1D layers keep matrices transposed
    if config.method == "ia3":
        return IA3Config(
            target_modules=targets,
            feedforward_modules=_feedforward(targets),
            fan_in_fan_out=fan_in_fan_out,
            task_type="CAUSAL_LM",
        )
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets,
        fan_in_fan_out=fan_in_fan_out,
        use_dora=config.method == "dora",
        task_type="CAUSAL_LM",
        **rows_settings(base, config, first_new_row),
    )


def targets_of(kind: str, method: str) -> list[str] | str:
    """Layers of an architecture that get an adapter; every linear one where it is not known.

    Raises:
        ConfigError: (IA)³ for an architecture whose keys and values are not known.
    """
    known = IA3_TARGETS if method == "ia3" else TARGETS
    if kind in known:
        return list(known[kind])
    if method == "ia3":
        raise ConfigError(
            f"which layers of {kind!r} are keys, values and feed-forward is not known",
            where="--method ia3",
            mend="name them by --targets, or take --method lora",
        )
    say(f"finetune: {kind!r} is not known here; every linear layer but the head gets an adapter")
    return ALL_LINEAR


def _feedforward(targets: list[str] | str) -> list[str]:
    return [name for name in targets if name in IA3_FEEDFORWARD]
