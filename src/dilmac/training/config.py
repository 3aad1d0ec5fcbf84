"""Settings of `dilmac pretrain` and `dilmac finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dilmac.core import StageConfig
from dilmac.training.budget import parse_count, parse_hours
from dilmac.training.choices import (
    Method,
    Objective,
    OptimizerName,
    Packing,
    Parallel,
    Quantization,
    Rows,
    ScheduleName,
)

Precision = Literal["auto", "bf16", "fp16", "fp32"]

# Where and how the same is computed; a run may go on with others.
NOT_RECORDED = {
    "tokens_folder",
    "micro_batch_tokens",
    "gradient_checkpointing",
    "parallel",
    "keep_checkpoints",
    "log_to",
}


class PretrainConfig(StageConfig):
    """Train a plain Llama on a corpus, from scratch or from a model that there is."""

    corpus: Path = Field(description="corpus artifact; train is learned, held-out is measured")
    more_corpora: tuple[Path, ...] = Field((), description="further corpus artifacts, mixed in")
    source_weights: dict[str, float] = Field(
        default_factory=dict,
        description="how often a pass reads a source, by name: 0.5 half of it, 2 all of it twice",
    )
    tokenizer: Path | None = Field(
        None, description="tokenizer folder, or tr32k or tr64k; with --model that model's own"
    )
    model: Path | None = Field(
        None, description="model folder or name to go on training; its shape and tokenizer are used"
    )
    preset: str = Field("quick", description="shape of the model: see `dilmac models presets`")
    params: str | None = Field(
        None, description="size of the model instead of a preset: 50M, 1.5B [parameters]"
    )
    context: int | None = Field(
        None, ge=16, description="window [tokens]; the preset's own by default"
    )
    packing: Packing = Field(
        "concat", description="windows: concat cuts, best-fit keeps documents whole and pads"
    )
    mask_documents: bool = Field(
        False, description="no token looks into the document before its own"
    )
    tokens_folder: Path | None = Field(
        None, description="where the corpus in tokens is kept, for several runs; else in the run"
    )
    tokens: int | None = Field(None, description="budget: tokens to train on, 2B or 300M [tokens]")
    epochs: float | None = Field(None, gt=0, description="budget: passes over the corpus")
    hours: float | None = Field(None, description="budget: time to train, 24 or 1h30m [hours]")
    batch_tokens: int = Field(2048, ge=16, description="tokens of one optimizer step [tokens]")
    micro_batch_tokens: int = Field(
        8192, ge=16, description="tokens in memory at once; smaller accumulates gradients [tokens]"
    )
    optimizer: OptimizerName = Field(
        "muon", description="muon for the matrices of the blocks with AdamW for the rest, or adamw"
    )
    learning_rate: float = Field(2e-3, gt=0, le=10, description="highest learning rate")
    table_rate_share: float = Field(
        1.0, gt=0, description="learning rate of input and output rows, as a share of the others'"
    )
    schedule: ScheduleName = Field(
        "cosine", description="learning rate: cosine, wsd (stable, then falling), or constant"
    )
    final_rate_share: float = Field(
        0.1, ge=0, le=1, description="learning rate at the end, as a share of the highest [0-1]"
    )
    decay_share: float = Field(
        0.2, gt=0, le=1, description="share of steps in which wsd falls [0-1]"
    )
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps that warm up [0-1]")
    weight_decay: float = Field(0.1, ge=0, description="weight decay of matrices")
    clip_norm: float = Field(
        1.0, ge=0, description="gradients are scaled down to this norm; 0 leaves them as they are"
    )
    spike_guard: bool = Field(
        True, description="leave out steps whose loss or gradient norm is far above the last ones'"
    )
    precision: Precision = Field(
        "auto", description="bf16 where the machine has it, fp16 on older GPUs, else fp32"
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="torch.compile: on GPUs, and on CPUs for runs that are long enough"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice instead of keeping them: less memory, slower"
    )
    parallel: Parallel = Field(
        "ddp", description="processes of torchrun: ddp copies the model, fsdp shards it (FSDP2)"
    )
    checkpoint_steps: int = Field(100, ge=1, description="steps between checkpoints [steps]")
    keep_checkpoints: int = Field(1, ge=1, description="last checkpoints that are kept in a run")
    final_weights: Literal["last", "best"] = Field(
        "last", description="weights of the result: the last, or the best by held-out bits per byte"
    )
    save_precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="type of the saved weights; bf16 halves the file"
    )
    eval_steps: int = Field(100, ge=1, description="steps between held-out measurements [steps]")
    eval_bytes: int = Field(50_000, ge=1, description="held-out text measured on the way [bytes]")
    log_to: Literal["tensorboard"] | None = Field(
        None, description="scalars for TensorBoard too, in the folder tensorboard/"
    )
    sample_prompts: tuple[str, ...] = Field(
        ("Bir gün", "Türkiye'nin", "Sabah erkenden"),
        description="beginnings that the model continues",
    )

    @field_validator("compile", mode="before")
    @classmethod
    def _on_or_off(cls, value: Any) -> Any:
        """YAML reads `on` and `off` as booleans."""
        return ("on" if value else "off") if isinstance(value, bool) else value

    @field_validator("tokens", "batch_tokens", "micro_batch_tokens", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return value if value is None else parse_count(value)

    @field_validator("hours", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        return value if value is None else parse_hours(value)

    def record(self, inputs: set[str]) -> dict[str, Any]:
        """Without what changes only where and how the same is computed.

        So a run that met the end of its memory, or got another machine, goes on with other values.
        """
        return super().record(inputs | NOT_RECORDED)

    @property
    def corpora(self) -> tuple[Path, ...]:
        """All corpora, in the order in which they are read."""
        return (self.corpus, *self.more_corpora)


class FinetuneConfig(StageConfig):
    """Teach a model to answer, or to prefer answers, in ChatML: by an adapter or in full."""

    model: Path = Field(
        description="model folder with a tokenizer that has ChatML markers, or a name that ships"
    )
    data: tuple[str, ...] = Field(
        min_length=1,
        description="instructions or conversations, JSONL, parquet or a saved dataset: files, "
        "folders or globs",
    )
    validation: tuple[str, ...] = Field(
        (), description="data to measure on, instead of a part of --data: files, folders or globs"
    )
    objective: Objective = Field(
        "sft",
        description="sft learns the answers; dpo learns to prefer one answer to another, from "
        'pairs of {"prompt", "chosen", "rejected"}',
    )
    method: Method = Field(
        "lora",
        description="lora, dora and ia3 train little beside the model's matrices, qlora does on a "
        "base of 4 or 8 bits; full trains every parameter, for small models",
    )
    quantization: Quantization = Field(
        "nf4", description="type of the base's matrices under qlora: nf4 (4 bits) or int8"
    )
    epochs: float = Field(3.0, gt=0, description="passes over the data")
    batch_size: int = Field(16, ge=1, description="examples of one optimizer step")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="examples in memory at once; smaller than a step's accumulates gradients",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="highest learning rate; by default 1e-3 for lora, dora and qlora, 1e-2 for "
        "ia3, 3e-4 for full, and a twentieth of that for dpo",
    )
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps that warm up [0-1]")
    lora_rank: int = Field(16, ge=1, description="rank of the LoRA matrices")
    lora_alpha: int = Field(32, ge=1, description="scale of the LoRA matrices")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before them [0-1]")
    targets: tuple[str, ...] = Field(
        (), description="names of the layers that get an adapter; by default the architecture's"
    )
    train_embeddings: bool = Field(
        True, description="train and save embedding and output rows: the ChatML markers' are new"
    )
    train_rows: Rows | None = Field(
        None,
        description="which of these rows: all, or new, those alone that `dilmac transplant` put at "
        "the end; by default new where there are such",
    )
    dpo_beta: float = Field(
        0.1, gt=0, description="dpo: how strongly the model is held to what it was before"
    )
    max_length: int | None = Field(
        None, ge=16, description="longest example [tokens]; the model's context by default"
    )
    packing: bool = Field(
        False,
        description="several examples in one row of --max-length tokens (1,024 by default), none "
        "of which sees another; --batch-size then counts rows",
    )
    invalid: Literal["error", "reject"] = Field(
        "error",
        description="a record that is wrong: error ends the run before anything is loaded, reject "
        "leaves it out and names it in rejects.jsonl.zst",
    )
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="examples that are there twice: keep only counts them, drop learns one"
    )
    augment_ascii: float = Field(
        0.0, ge=0, le=1, description="share of the user's turns typed without Turkish letters [0-1]"
    )
    augment_casing: float = Field(
        0.0, ge=0, le=1, description="share of the user's turns in small letters or capitals [0-1]"
    )
    augment_spelling: float = Field(
        0.0, ge=0, le=1, description="share of the user's turns with slips of the keyboard [0-1]"
    )
    preview: int = Field(
        0, ge=0, description="show so many examples as the model will see them, and train nothing"
    )
    validation_percent: float = Field(
        10.0, ge=0, lt=50, description="examples kept for validation, chosen by hash [percent]"
    )
    test_percent: float = Field(
        0.0, ge=0, lt=50, description="examples left out for a test, chosen by hash [percent]"
    )
    precision: Precision = Field("auto", description="bf16 where the machine has it, else fp32")
    save_precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="type of the saved weights; bf16 halves the file"
    )
    checkpoint_steps: int = Field(50, ge=1, description="steps between checkpoints [steps]")
    eval_steps: int | None = Field(
        None, ge=1, description="steps between measurements of the validation loss [steps]"
    )
    patience: int | None = Field(
        None, ge=1, description="measurements without gain after which training stops"
    )
    final_weights: Literal["best", "last"] = Field(
        "best", description="of the measurements on the way: weights of the best, or the last"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice instead of keeping them: less memory, slower"
    )
    metric: str | None = Field(
        None,
        description="module:function of yours that takes predictions and references, two lists of "
        "texts, and returns a number or numbers by name",
    )
    metric_examples: int = Field(50, ge=1, description="validation prompts answered for it")
    metric_tokens: int = Field(200, ge=1, description="longest of these answers [tokens]")
    log_to: Literal["tensorboard", "trackio", "wandb"] | None = Field(
        None, description="where losses are shown too; tensorboard writes into tensorboard/"
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"--micro-batch-size {self.micro_batch_size} does not divide "
                f"--batch-size {self.batch_size}"
            )
        if self.patience and not self.eval_steps:
            raise ValueError("--patience needs measurements on the way: give --eval-steps")
        measured = self.validation_percent or self.validation
        for flag, value in (("--eval-steps", self.eval_steps), ("--metric", self.metric)):
            if value and not measured:
                raise ValueError(f"{flag} needs examples: give a --validation-percent above 0")
        if self.metric and self.objective == "dpo":
            raise ValueError("--metric compares answers with references: take --objective sft")
        varied = self.augment_ascii or self.augment_casing or self.augment_spelling
        if self.objective == "dpo" and (self.packing or varied):
            raise ValueError("--packing and --augment-… are for --objective sft")
        has_rows = self.train_embeddings and self.method not in ("ia3", "full")
        if self.train_rows and not has_rows:
            raise ValueError("--train-rows: takes lora, dora or qlora, and --train-embeddings")
        return self

    def record(self, inputs: set[str]) -> dict[str, Any]:
        """Without what changes only where and how the same is computed."""
        return super().record(inputs | NOT_RECORDED | {"preview"})

    @field_validator("data", "validation", "targets", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        """A single path stands for itself, in a recipe as in Python."""
        if isinstance(value, str | Path):
            return (str(value),)
        return [str(item) if isinstance(item, Path) else item for item in value]
