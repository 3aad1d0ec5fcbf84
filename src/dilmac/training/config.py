"""Settings of `dilmac pretrain` and `dilmac finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from dilmac.core import StageConfig

Precision = Literal["auto", "bf16", "fp32"]


class PretrainConfig(StageConfig):
    """Train a plain Llama from scratch on a corpus."""

    corpus: Path = Field(description="corpus artifact; train is learned, held-out is measured")
    tokenizer: Path = Field(description="tokenizer folder")
    preset: str = Field("quick", description="shape of the model: tiny, quick or 134m")
    context: int | None = Field(
        None, ge=16, description="window [tokens]; the preset's own by default"
    )
    tokens: int = Field(2_000_000, ge=1, description="tokens to train on at most [tokens]")
    max_epochs: float = Field(
        12.0, gt=0, description="passes over the corpus at most; the smaller budget counts"
    )
    batch_tokens: int = Field(2048, ge=16, description="tokens of one optimizer step [tokens]")
    micro_batch_tokens: int = Field(
        8192, ge=16, description="tokens in memory at once; smaller accumulates gradients [tokens]"
    )
    learning_rate: float = Field(2e-3, gt=0, description="highest learning rate")
    final_rate_share: float = Field(
        0.1, ge=0, le=1, description="learning rate at the end, as a share of the highest [0-1]"
    )
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps that warm up [0-1]")
    weight_decay: float = Field(0.1, ge=0, description="weight decay of matrices")
    clip_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    precision: Precision = Field(
        "auto", description="bf16 where the machine has it, else fp32; weights stay fp32"
    )
    checkpoint_steps: int = Field(100, ge=1, description="steps between checkpoints [steps]")
    eval_steps: int = Field(100, ge=1, description="steps between held-out measurements [steps]")
    eval_bytes: int = Field(50_000, ge=1, description="held-out text measured on the way [bytes]")
    sample_prompts: tuple[str, ...] = Field(
        ("Bir gün", "Türkiye'nin", "Sabah erkenden"),
        description="beginnings that the model continues",
    )


class FinetuneConfig(StageConfig):
    """Teach a model to answer: LoRA on instructions and responses in ChatML."""

    model: Path = Field(description="model folder with a tokenizer that has ChatML markers")
    data: Path = Field(
        description='JSONL of {"instruction", "response"}; "input" may stand between'
    )
    epochs: float = Field(3.0, gt=0, description="passes over the data")
    batch_size: int = Field(16, ge=1, description="examples of one optimizer step")
    learning_rate: float = Field(1e-3, gt=0, description="highest learning rate")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps that warm up [0-1]")
    lora_rank: int = Field(16, ge=1, description="rank of the LoRA matrices")
    lora_alpha: int = Field(32, ge=1, description="scale of the LoRA matrices")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before them [0-1]")
    train_embeddings: bool = Field(
        True, description="train and save embedding and output rows: the ChatML markers' are new"
    )
    max_length: int | None = Field(
        None, ge=16, description="longest example [tokens]; the model's context by default"
    )
    validation_percent: float = Field(
        10.0, ge=0, lt=50, description="examples kept for validation, chosen by hash [percent]"
    )
    precision: Precision = Field("auto", description="bf16 where the machine has it, else fp32")
    checkpoint_steps: int = Field(50, ge=1, description="steps between checkpoints [steps]")
