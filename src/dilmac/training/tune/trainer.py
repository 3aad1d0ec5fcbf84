"""TRL's trainers with our settings: SFT on answers, DPO on pairs."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftConfig, get_peft_model
from transformers import AutoTokenizer, PrinterCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from dilmac.core import ConfigError, Events, MissingDependencyError
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer
from dilmac.training.collate import Collator, pad_id
from dilmac.training.config import FinetuneConfig
from dilmac.training.precision import on_one_device, resolve_precision, training_device
from dilmac.training.tune.answers_only import score_answers_only
from dilmac.training.tune.watch import BestKeeper, Watcher

CHECKPOINTS = "checkpoints"
# Usual beginnings, not tuned here: full training moves every weight, so it takes smaller steps, and
# (IA)³'s few numbers larger ones. dpo goes on from a model that answers: a twentieth (TRL's own
# default for it is 1e-6 in full; Rafailov et al. 2023).
LEARNING_RATES = {"lora": 1e-3, "dora": 1e-3, "qlora": 1e-3, "ia3": 1e-2, "full": 3e-4}
DPO_RATE_SHARE = 1 / 20


@dataclass(frozen=True)
class Material:
    """Rows to train on and to measure on, in ids."""

    train: Dataset
    validation: Dataset


def make_trainer(
    base: Any, adapter: PeftConfig | None, material: Material, config: FinetuneConfig, folder: Path
) -> SFTTrainer | DPOTrainer:
    """A trainer of `base`, or of the adapter beside it; its `model` is what is trained.

    Raises:
        ConfigError: no layer can have such an adapter.
        MissingDependencyError: a package of `--log-to` is not installed.
    """
    common = {
        "train_dataset": material.train,
        "eval_dataset": material.validation if len(material.validation) else None,
        "processing_class": AutoTokenizer.from_pretrained(str(config.model), local_files_only=True),
        "callbacks": [
            Watcher(Events(folder / "events.jsonl"), scalars(config, folder)),
            BestKeeper(config.patience),
        ],
    }
    torch.manual_seed(config.seed)  # an adapter's matrices are drawn
    try:
        if config.objective == "dpo":
            trainer = _dpo(base, adapter, config, folder, common)
        else:
            trainer = _sft(base, adapter, config, folder, common)
    except ValueError as error:
        if adapter is None or "target" not in str(error).lower():
            raise
        raise ConfigError(
            f"no such adapter can be made ({' '.join(str(error).split())[:200]})",
            where="--targets",
            mend="name layers of the model, as `model.named_modules()` does, or leave it out",
        ) from error
    trainer.remove_callback(PrinterCallback)
    # TRL rounds what is trained beside a quantized base to bf16; on GPUs autocast does that anyway.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainer


def _sft(
    base: Any, adapter: PeftConfig | None, config: FinetuneConfig, folder: Path, common: Any
) -> SFTTrainer:
    arguments = on_one_device(
        SFTConfig(
            **_arguments(config, folder),
            packing=False,
            # Of the bundled instructions a third of every random batch would be padding.
            train_sampling_strategy="group_by_length",
            dataset_kwargs={"skip_prepare_dataset": True},
        )
    )
    score_answers_only()
    model = base if adapter is None else get_peft_model(base, adapter)
    collator = Collator(pad_id(Tokenizer(config.model)))
    return SFTTrainer(model=model, args=arguments, data_collator=collator, **common)


class PairTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO on rows that are ids already."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def _dpo(
    base: Any, adapter: PeftConfig | None, config: FinetuneConfig, folder: Path, common: Any
) -> DPOTrainer:
    arguments = on_one_device(DPOConfig(**_arguments(config, folder), beta=config.dpo_beta))
    # The reference: with an adapter the base without it, else the model as it was.
    reference = load_model(config.model) if adapter is None else None
    return PairTrainer(
        model=base,
        ref_model=reference,
        args=arguments,
        peft_config=adapter,
        data_collator=DataCollatorForPreference(pad_id(Tokenizer(config.model))),
        **common,
    )


def _arguments(config: FinetuneConfig, folder: Path) -> dict[str, Any]:
    """What both trainers take."""
    device = training_device()
    precision = resolve_precision(config.precision, device)
    micro = config.micro_batch_size or config.batch_size
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": config.batch_size // micro,
        "learning_rate": learning_rate(config),
        "warmup_steps": config.warmup_share,
        "lr_scheduler_type": "cosine",
        "max_grad_norm": 1.0,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "activation_checkpointing": config.gradient_checkpointing,
        "use_cpu": device.type == "cpu",
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": config.checkpoint_steps,
        "save_total_limit": 2,
        "eval_strategy": "steps" if config.eval_steps else "no",
        "eval_steps": config.eval_steps,
        "report_to": config.log_to if config.log_to in ("trackio", "wandb") else "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": device.type == "cuda",
        "max_length": None,
        "remove_unused_columns": False,
    }


def learning_rate(config: FinetuneConfig) -> float:
    """The highest learning rate: as flagged, or the method's usual one."""
    usual = LEARNING_RATES[config.method]
    return config.learning_rate or usual * (DPO_RATE_SHARE if config.objective == "dpo" else 1)


def require_log(name: str | None) -> None:
    """
    Raises:
        MissingDependencyError: the package of `--log-to` is not installed.
    """
    if name and importlib.util.find_spec(name) is None:
        wanted = "'dilmac[tensorboard]'" if name == "tensorboard" else name
        raise MissingDependencyError(
            f"needs {name}", where=f"--log-to {name}", mend=f"pip install {wanted}"
        )


def scalars(config: FinetuneConfig, folder: Path) -> Any:
    """What takes the events for TensorBoard; None where that was not asked for."""
    if config.log_to != "tensorboard":
        return None
    from dilmac.training.tensorboard import TensorBoardLog

    return TensorBoardLog(folder / "tensorboard").write
