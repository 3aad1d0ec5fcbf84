"""Pretraining: a plain Llama from scratch, by a loop that resumes bit for bit."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from transformers import LlamaForCausalLM, PreTrainedModel

from dilmac.core import (
    Artifact,
    Build,
    DilmacError,
    Events,
    Figures,
    Steps,
    building,
    num_cpus,
    open_artifact,
    say,
)
from dilmac.evaluate import Bits
from dilmac.models import num_parameters, preset_named, save_model
from dilmac.tokenizer import IM_END, PAD, Tokenizer, copy_tokenizer
from dilmac.training.config import PretrainConfig
from dilmac.training.heldout import HeldOut, continuations
from dilmac.training.optimize import adamw, rate_share
from dilmac.training.precision import fresh_accelerator, resolve_precision, training_device
from dilmac.training.resume import load_checkpoint, save_checkpoint
from dilmac.training.windows import Windows, tokenize

CHECKPOINTS = "checkpoints"
TOKENS = "tokens"


@dataclass
class Run:
    """What the loop works on."""

    config: PretrainConfig
    folder: Path
    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    windows: Windows
    heldout: HeldOut
    events: Events
    accelerator: Accelerator
    batch_size: int  # windows of one step
    micro_batch_size: int  # windows in memory at once
    num_steps: int
    bytes_per_token: float


def pretrain(config: PretrainConfig, *, force: bool = False) -> Artifact:
    """Train a model on a corpus; the result is a folder that `AutoModelForCausalLM` opens.

    An interrupted run goes on at its last checkpoint when the same command is given again.

    Raises:
        InputError: corpus or tokenizer cannot be read, or the text does not fill one window.
        ConfigError: unknown preset.
        DilmacError: the loss is not finite.
    """
    open_artifact(config.corpus, "corpus")
    preset_named(config.preset)
    inputs = {"corpus": [config.corpus], "tokenizer": [config.tokenizer]}
    with building("model", config, inputs, force=force, resumable=True) as build:
        if build.done:
            return build.done
        run = _prepare(config, build)
        timings = _train(run)
        return _finish(run, build, timings)


def _prepare(config: PretrainConfig, build: Build) -> Run:
    torch.set_num_threads(num_cpus())
    preset = preset_named(config.preset)
    context = config.context or preset.context
    tokenizer = Tokenizer(config.tokenizer)
    tokens = tokenize(config.corpus, tokenizer, build.path / TOKENS)
    windows = Windows(tokens, context, config.seed)
    precision = resolve_precision(config.precision, training_device())
    accelerator = fresh_accelerator(precision)
    torch.manual_seed(config.seed)
    end = tokenizer.document_start_id
    shape = preset.model_copy(update={"context": context})
    model = LlamaForCausalLM(
        shape.llama_config(
            len(tokenizer),
            bos_token_id=None,
            eos_token_id=[end, tokenizer.control_id(IM_END)],
            pad_token_id=tokenizer.control_id(PAD),
        )
    ).to(accelerator.device)
    model.generation_config.eos_token_id = model.config.eos_token_id
    model.generation_config.pad_token_id = model.config.pad_token_id
    batch_size = max(1, config.batch_tokens // context)
    budget = min(config.tokens, config.max_epochs * windows.num_windows * context)
    run = Run(
        config=config,
        folder=build.path,
        model=model,
        optimizer=adamw(
            model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
        ),
        windows=windows,
        heldout=HeldOut(config.corpus, tokenizer),
        events=Events(build.path / "events.jsonl"),
        accelerator=accelerator,
        batch_size=batch_size,
        micro_batch_size=max(1, min(batch_size, config.micro_batch_tokens // context)),
        num_steps=max(1, math.ceil(budget / (batch_size * context))),
        bytes_per_token=tokens.num_text_bytes / tokens.num_tokens,
    )
    say(
        f"pretrain: {num_parameters(shape, len(tokenizer)):,} parameters, "
        f"{tokens.num_tokens:,} tokens of text, {run.num_steps:,} steps of "
        f"{batch_size * context:,} tokens, {precision} on {accelerator.device}"
    )
    return run


def _train(run: Run) -> Figures:
    """All steps from the last checkpoint on; timings of this process."""
    config = run.config
    first = load_checkpoint(run.folder / CHECKPOINTS, run.model, run.optimizer)
    run.events.cut_after(first)
    if first:
        say(f"pretrain: going on at step {first:,}")
    else:
        _measure(run, 0)
    started = time.monotonic()
    run.model.train()
    with Steps("pretrain", total=run.num_steps, done=first, unit="steps") as steps:
        for step in range(first, run.num_steps):
            loss, norm, rate = _step(run, step)
            done = step + 1
            bits = loss / math.log(2) / run.bytes_per_token
            run.events.write(
                "step", step=done, loss=loss, bits_per_byte=bits, grad_norm=norm, rate=rate
            )
            steps.advance(note=f"loss {loss:.3f} · {bits:.3f} bits/byte")
            if done % config.eval_steps == 0 and done < run.num_steps:
                _measure(run, done)
            if done % config.checkpoint_steps == 0 or done == run.num_steps:
                save_checkpoint(run.folder / CHECKPOINTS, done, run.model, run.optimizer)
    seconds = time.monotonic() - started
    trained = (run.num_steps - first) * run.batch_size * run.windows.context
    return {
        "device": str(run.accelerator.device),
        "train_seconds": round(seconds, 1),
        "tokens_per_second": round(trained / max(seconds, 1e-9)),
    }


def _step(run: Run, step: int) -> tuple[float, float, float]:
    """One optimizer step; mean loss [nats per token], gradient norm, learning rate."""
    config = run.config
    rate = config.learning_rate * rate_share(
        step,
        run.num_steps,
        warmup_share=config.warmup_share,
        final_share=config.final_rate_share,
    )
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    rows = torch.from_numpy(run.windows.batch(step, run.batch_size)).to(run.accelerator.device)
    num_targets = rows.shape[0] * (rows.shape[1] - 1)
    total = torch.zeros((), dtype=torch.float64)
    for part in rows.split(run.micro_batch_size):
        with run.accelerator.autocast():
            logits = run.model(input_ids=part[:, :-1], use_cache=False).logits
        # Normalized by the tokens of the whole step, so accumulation changes nothing.
        loss = F.cross_entropy(logits.flatten(0, 1).float(), part[:, 1:].flatten(), reduction="sum")
        run.accelerator.backward(loss / num_targets)
        total += loss.detach().double().cpu() / num_targets
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip_norm)
    if not (math.isfinite(total) and bool(norm.isfinite())):
        raise DilmacError(
            f"the loss at step {step + 1} is not finite (loss {float(total)}, norm {float(norm)})",
            where=run.folder,
            mend="lower --learning-rate; the last checkpoint is kept",
        )
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return float(total), float(norm), rate


def _measure(run: Run, step: int) -> None:
    bits = run.heldout.bits_per_byte(run.model, run.config.eval_bytes)
    if bits is not None:
        run.events.write("heldout", step=step, bits_per_byte=bits)


def _finish(run: Run, build: Build, timings: Figures) -> Artifact:
    tokenizer, config = run.heldout.tokenizer, run.config
    _measure(run, run.num_steps)
    by_source = run.heldout.bits_by_source(run.model)
    samples = continuations(run.model, tokenizer, config.sample_prompts, config.seed)
    for prompt, text in samples.items():
        run.events.write("sample", step=run.num_steps, prompt=prompt, text=text)
    save_model(run.model, build.path)
    copy_tokenizer(config.tokenizer, build.path)
    shutil.rmtree(build.path / CHECKPOINTS, ignore_errors=True)
    shutil.rmtree(build.path / TOKENS, ignore_errors=True)
    figures: dict[str, Any] = {
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "steps": run.num_steps,
        "tokens_trained": run.num_steps * run.batch_size * run.windows.context,
        "epochs": round(run.num_steps * run.batch_size / run.windows.num_windows, 3),
        "precision": run.accelerator.mixed_precision,
        "heldout_bits_per_byte": _round(sum(by_source.values(), Bits())),
        "heldout_bits_per_byte_by_source": {name: _round(b) for name, b in by_source.items()},
        "samples": samples,
    }
    return build.finish(figures, **timings)


def _round(bits: Bits) -> float | None:
    return round(bits.per_byte, 4) if bits.num_bytes else None
