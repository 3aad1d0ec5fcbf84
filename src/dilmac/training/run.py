"""What a pretraining run is made of, prepared from its settings."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel

from dilmac.core import Events, num_cpus, say
from dilmac.tokenizer import Tokenizer
from dilmac.training.allocator import keep_freed_memory
from dilmac.training.budget import Budget, num_steps_for
from dilmac.training.config import PretrainConfig
from dilmac.training.heldout import HeldOut
from dilmac.training.memory import is_out_of_memory, out_of_memory_error
from dilmac.training.mixture import tokenize
from dilmac.training.optimize import Optimizers
from dilmac.training.patience import Patience
from dilmac.training.precision import (
    DTYPES,
    LossScale,
    require_compiling,
    resolve_compile,
    resolve_precision,
)
from dilmac.training.ranks import Ranks
from dilmac.training.resume import load_weights, weights_of
from dilmac.training.spikes import DivergenceWatch, SpikeGuard
from dilmac.training.student import PRETRAINED, Student
from dilmac.training.throughput import Pace, flops_per_token, peak_flops
from dilmac.training.windows import TokenFile, Windows

if TYPE_CHECKING:
    from dilmac.training.tensorboard import TensorBoardLog

TOKENS = "tokens"
TOKENS_PER_PARAMETER = 20  # of a run without a budget (Hoffmann et al. 2022)
FLOPS_PER_SECOND = 2e11  # about what two CPU cores make; only orders of magnitude count
# Of a model's config: how and with what it was written, which trains nothing otherwise.
NOT_OF_THE_SHAPE = ("transformers_version", "_name_or_path", "dtype", "torch_dtype")
FRESH_EPOCHS = 4  # up to here repeated text is about as good as new (Muennighoff et al. 2023)


@dataclass
class Run:
    """What the loop works on."""

    config: PretrainConfig
    student: Student
    folder: Path
    ranks: Ranks
    tokenizer: Tokenizer
    windows: Windows
    model: PreTrainedModel  # plain
    wrapped: nn.Module  # the same with its loss, compiled, replicated or sharded
    optimizers: Optimizers
    heldout: HeldOut
    precision: str
    batch_size: int  # windows of one step, over all processes
    micro_batch_size: int  # windows of one process in memory at once
    num_steps: int
    compiled: bool
    events: Events
    scalars: TensorBoardLog | None
    pace: Pace
    scale: LossScale | None  # of fp16
    guard: SpikeGuard = field(default_factory=SpikeGuard)
    watch: DivergenceWatch = field(default_factory=DivergenceWatch)
    # Of all processes that worked on the run, one after the other:
    patience: Patience = field(default_factory=Patience)
    num_skipped: int = 0  # steps that were not applied
    stopped_at: int | None = None  # the step after which held-out text gained nothing
    seconds: float = 0.0  # of training
    mfu: float = 0.0  # at its last steps

    @property
    def step_tokens(self) -> int:
        """Tokens of one step."""
        return self.batch_size * self.windows.context

    @property
    def last_step(self) -> int:
        """The step that the run ended with, or is to end with."""
        return self.num_steps if self.stopped_at is None else self.stopped_at

    @cached_property
    def bytes_per_token(self) -> float:
        """Of the training text."""
        return self.windows.tokens.num_text_bytes / self.windows.tokens.num_tokens

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must have in common with the run that goes on from it."""
        return {
            "model": shape_digest(self.model),
            "tokenizer_or_text": self.windows.fingerprint(),
            "optimizer": self.config.optimizer,
            "number_of_steps": self.num_steps,
            "batch_size": self.batch_size,
        }

    def write(self, event: str, **values: Any) -> None:
        """Record an event; one process does."""
        if self.ranks.is_main:
            self.events.write(event, **values)
        if self.scalars:
            self.scalars.write({"event": event, **values})

    def open_scalars(self, first: int) -> None:
        """Begin the TensorBoard log, where one is wanted, at the step that training goes on at."""
        if self.config.log_to == "tensorboard" and self.ranks.is_main:
            from dilmac.training.tensorboard import TensorBoardLog

            self.scalars = TensorBoardLog(self.folder / "tensorboard", resumed_at=first)

    @contextmanager
    def plain_model(self) -> Iterator[PreTrainedModel | None]:
        """The whole model for measuring and saving; None in processes that do not do that.

        Every process must enter. A sharded model is put together in the main one.
        """
        if not self.ranks.is_sharded:
            yield self.model if self.ranks.is_main else None
            return
        weights = weights_of(self.model, wanted=self.ranks.is_main)
        if not self.ranks.is_main:
            yield None
            return
        model = type(self.model)(self.model.config)
        model.generation_config = self.model.generation_config
        load_weights(model, weights, self.folder)
        yield model.to(self.ranks.device)

    @contextmanager
    def memory_explained(self) -> Iterator[None]:
        """Around all that the run does: see `_memory_explained`."""
        with _memory_explained(
            self.config,
            self.ranks,
            self.model,
            micro_batch=self.micro_batch_size,
            context=self.windows.context,
            precision=self.precision,
        ):
            yield


def shape_digest(model: PreTrainedModel) -> str:
    """Hex SHA-256 of what the model computes, whichever version of transformers wrote it."""
    shape = model.config.to_dict()
    for name in NOT_OF_THE_SHAPE:
        shape.pop(name, None)
    return hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def _memory_explained(
    config: PretrainConfig,
    ranks: Ranks,
    model: PreTrainedModel,
    *,
    micro_batch: int,
    context: int,
    precision: str,
) -> Iterator[None]:
    """Say what to lower when memory runs out within.

    Raises:
        DilmacError: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory_error(
            error,
            config=config,
            model=model,
            micro_batch=micro_batch,
            context=context,
            precision=precision,
            checkpointing=config.gradient_checkpointing,
            num_shards=ranks.num_ranks if ranks.is_sharded else 1,
        ) from error


@dataclass(frozen=True)
class Frame:
    """What is settled before the text, which may take hours to encode, is looked at."""

    tokenizer: Tokenizer
    precision: str
    model: PreTrainedModel  # on the CPU
    context: int
    batch_size: int
    micro_batch_size: int


def prepare(
    config: PretrainConfig,
    ranks: Ranks,
    folder: Path,
    *,
    student: Student | None = None,
    num_steps: int | None = None,
) -> Run:
    """Everything up to the first step; `num_steps` overrules the budget.

    Without a `student` a preset's shape is pretrained.

    Raises:
        DilmacError: tokenizer, corpus, model or settings cannot be used, or not together.
    """
    torch.set_num_threads(max(1, num_cpus() // ranks.num_local))
    keep_freed_memory()
    student = student or PRETRAINED
    tokenizer = Tokenizer(config.tokenizer or config.model)  # type: ignore[arg-type]
    frame = settle(config, ranks, student, tokenizer)
    tokens = _tokens(config, ranks, frame.tokenizer, folder)
    tokens.require_fit(frame.model.get_input_embeddings().num_embeddings)
    windows = _windows(config, tokens, frame)
    with _memory_explained(
        config,
        ranks,
        frame.model,
        micro_batch=frame.micro_batch_size,
        context=frame.context,
        precision=frame.precision,
    ):
        run = ready(
            config, ranks, frame, windows, student=student, folder=folder, num_steps=num_steps
        )
    _introduce(run)
    return run


def settle(config: PretrainConfig, ranks: Ranks, student: Student, tokenizer: Tokenizer) -> Frame:
    """Whatever can be refused at once is refused here."""
    precision = resolve_precision(config.precision, ranks.device)
    require_compiling(config.compile, ranks.device)
    model = student.open(config, tokenizer)
    context = config.context or int(model.config.max_position_embeddings)
    batch_size = max(ranks.num_ranks, config.batch_tokens // context)
    ranks.require_rows(batch_size)
    rows = batch_size // ranks.num_ranks
    return Frame(
        tokenizer=tokenizer,
        precision=precision,
        model=model,
        context=context,
        batch_size=batch_size,
        micro_batch_size=max(1, min(rows, config.micro_batch_tokens // context)),
    )


def ready(
    config: PretrainConfig,
    ranks: Ranks,
    frame: Frame,
    windows: Windows,
    *,
    student: Student,
    folder: Path,
    num_steps: int | None,
) -> Run:
    """The run on its device."""
    model, precision, step_tokens = frame.model, frame.precision, frame.batch_size * frame.context
    flops = flops_per_token(model.config, frame.context)
    num_steps = num_steps or steps_of(config, model, windows, step_tokens)
    compiled = resolve_compile(
        config.compile, ranks.device, _work(config, flops * num_steps * step_tokens)
    )
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    wrapped = ranks.wrap(student.wrap(model, DTYPES[precision], compiled))
    return Run(
        config=config,
        compiled=compiled,
        student=student,
        patience=Patience(student.patience),
        folder=folder,
        ranks=ranks,
        tokenizer=frame.tokenizer,
        windows=windows,
        model=model,
        wrapped=wrapped,
        optimizers=Optimizers(
            model,
            config.optimizer,
            weight_decay=config.weight_decay,
            table_rate=config.table_rate_share,
        ),
        heldout=HeldOut(config.corpora, frame.tokenizer),
        precision=precision,
        batch_size=frame.batch_size,
        micro_batch_size=frame.micro_batch_size,
        num_steps=num_steps,
        events=Events(folder / "events.jsonl"),
        scalars=None,
        pace=Pace(
            flops, peak_flops(ranks.device, precision), ranks.device, num_devices=ranks.num_ranks
        ),
        scale=LossScale() if precision == "fp16" else None,
        guard=SpikeGuard() if config.spike_guard else SpikeGuard(sigmas=math.inf),
    )


def _tokens(config: PretrainConfig, ranks: Ranks, tokenizer: Tokenizer, folder: Path) -> TokenFile:
    """The corpus in tokens: encoded by the main process, opened by all."""
    where = config.tokens_folder or folder / TOKENS
    for turn in ("writes", "reads"):
        if (turn == "writes") == ranks.is_main:
            tokens = tokenize(
                config.corpora,
                tokenizer,
                where,
                source_weights=config.source_weights,
                seed=config.seed,
            )
        ranks.share(None)
    return tokens


def _windows(config: PretrainConfig, tokens: TokenFile, frame: Frame) -> Windows:
    return Windows(
        tokens,
        frame.context,
        config.seed,
        packing=config.packing,
        mask_documents=config.mask_documents,
        end_id=frame.tokenizer.document_start_id,
    )


def steps_of(
    config: PretrainConfig, model: PreTrainedModel, windows: Windows, step_tokens: int
) -> int:
    """Steps that the budget of tokens and epochs fills.

    Without any: 20 tokens for each parameter, but no more than four passes over the text.
    """
    tokens, epochs = config.tokens, config.epochs
    if tokens is None and epochs is None:
        tokens = TOKENS_PER_PARAMETER * sum(p.numel() for p in model.parameters())
        epochs = FRESH_EPOCHS
    return num_steps_for(
        Budget(tokens=tokens, epochs=epochs),
        step_tokens=step_tokens,
        epoch_tokens=windows.num_windows * windows.context,  # padding takes its place in steps
    )


def _work(config: PretrainConfig, flops: float) -> float:
    """Operations of the run; of one with a budget of hours, as many as compiling waits for."""
    return flops if config.hours is None else config.hours * 3600 * FLOPS_PER_SECOND


def _introduce(run: Run) -> None:
    parameters = sum(p.numel() for p in run.model.parameters())
    ranks = run.ranks
    devices = f"{ranks.num_ranks} x {ranks.device.type} ({ranks.parallel})"
    say(
        f"{run.student.verb}: {parameters:,} parameters, {run.windows.tokens.num_tokens:,} tokens "
        f"of text, {run.num_steps:,} steps of {run.step_tokens:,} tokens, {run.config.optimizer}, "
        f"{run.precision}{', compiled' if run.compiled else ''} on "
        f"{ranks.device if ranks.num_ranks == 1 else devices}"
    )
