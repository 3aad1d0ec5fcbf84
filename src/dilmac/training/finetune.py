"""Fine-tuning: LoRA on instructions in ChatML by TRL, loss on the answer only, new rows saved."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from dilmac.core import (
    Artifact,
    Build,
    DilmacError,
    Events,
    JsonlWriter,
    Steps,
    building,
    num_cpus,
    say,
    write_json,
)
from dilmac.models import load_model, require_model_folder, save_model
from dilmac.tokenizer import IM_END, Tokenizer, copy_tokenizer
from dilmac.training.config import FinetuneConfig
from dilmac.training.instruct import Row, encode_examples, read_instructions, split_validation
from dilmac.training.precision import resolve_precision, training_device

CHECKPOINTS = "checkpoints"
WHOLE = "dilmac-whole"  # marks a checkpoint that was written to its end
MAX_MERGE_DIFFERENCE = 1e-3  # logits of the merged model against base + adapter, in fp32


def finetune(config: FinetuneConfig, *, force: bool = False) -> Artifact:
    """Fine-tune a model; the folder is the merged model, with the adapter in `adapter/`.

    Raises:
        InputError: model or data cannot be read, or do not fit together.
    """
    require_model_folder(config.model)
    examples = read_instructions(config.data)
    tokenizer = Tokenizer(config.model)
    inputs = {"model": [config.model], "data": [config.data]}
    with building("model", config, inputs, force=force, resumable=True) as build:
        if build.done:
            return build.done
        torch.set_num_threads(num_cpus())
        base = load_model(config.model)
        tokenizer.require_fit(base.get_input_embeddings().num_embeddings)
        max_length = config.max_length or int(base.config.max_position_embeddings)
        train, validation = split_validation(examples, config.validation_percent)
        rows, too_long = encode_examples(train, tokenizer, max_length)
        measured = encode_examples(validation, tokenizer, max_length)[0] if validation else []
        _keep_rejects(build.path, [example.where for example in too_long], max_length)
        model = _with_adapter(base, config)
        trainable, total = model.get_nb_trainable_parameters()
        say(
            f"finetune: {len(rows):,} examples, {len(measured):,} for validation, "
            f"{trainable:,} of {total:,} parameters are trained"
        )
        trainer = _trainer(model, rows, measured, config, build)
        started = time.monotonic()
        before = _validation_loss(trainer) if measured else None
        trainer.train(resume_from_checkpoint=_newest_checkpoint(build.path / CHECKPOINTS))
        after = _validation_loss(trainer) if measured else None
        seconds = time.monotonic() - started
        # Without the mixed-precision wrapper that the trainer put around `forward`.
        model = trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        difference = _save(model, tokenizer, config, build.path)
        figures = {
            "examples": len(rows),
            "examples_validation": len(measured),
            "examples_too_long": len(too_long),
            "steps": trainer.state.max_steps,
            "trainable_parameters": trainable,
            "total_parameters": total,
            "validation_loss_before": before,
            "validation_loss": after,
            "merge_logit_difference": difference,
            "precision": "bf16" if trainer.args.bf16 else "fp32",
        }
        return build.finish(figures, train_seconds=round(seconds, 1))


def _keep_rejects(folder: Path, places: list[str], max_length: int) -> None:
    if not places:
        return
    writer = JsonlWriter(folder / "rejects.jsonl.zst")
    for where in places:
        writer.write({"where": Path(where).name, "reason": "too_long", "max_length": max_length})
    writer.close()
    say(f"finetune: {len(places)} examples are longer than {max_length} tokens and were left out")


def _with_adapter(base: Any, config: FinetuneConfig) -> PeftModel:
    """Base with LoRA on every linear layer, and embedding and output rows trained in full."""
    saved = None
    if config.train_embeddings:
        is_tied = bool(base.config.tie_word_embeddings)
        saved = ["embed_tokens"] if is_tied else ["embed_tokens", "lm_head"]
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        modules_to_save=saved,
        ensure_weight_tying=bool(saved) and bool(base.config.tie_word_embeddings),
        task_type="CAUSAL_LM",
    )
    model: PeftModel = get_peft_model(base, lora)
    return model


def _trainer(
    model: PeftModel,
    rows: list[Row],
    validation: list[Row],
    config: FinetuneConfig,
    build: Build,
) -> SFTTrainer:
    device = training_device()
    tokenizer = AutoTokenizer.from_pretrained(str(config.model), local_files_only=True)
    arguments = SFTConfig(
        output_dir=str(build.path / CHECKPOINTS),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_share,
        lr_scheduler_type="cosine",
        max_grad_norm=1.0,
        bf16=resolve_precision(config.precision, device) == "bf16",
        activation_checkpointing=False,
        use_cpu=device.type == "cpu",
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        save_strategy="steps",
        save_steps=config.checkpoint_steps,
        save_total_limit=2,
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device.type == "cuda",
        max_length=None,
        packing=False,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list([vars(row) for row in rows]),
        eval_dataset=Dataset.from_list([vars(row) for row in validation]) if validation else None,
        processing_class=tokenizer,
        callbacks=[Watcher(Events(build.path / "events.jsonl"))],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class Watcher(TrainerCallback):  # type: ignore[misc]
    """Progress, the record of events, and the mark on whole checkpoints."""

    def __init__(self, events: Events):
        self.events = events
        self.steps: Steps | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.events.cut_after(state.global_step)
        self.steps = Steps(
            "finetune", total=state.max_steps, done=state.global_step, unit="steps"
        ).__enter__()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self.steps and logs and "loss" in logs:
            self.events.write("step", step=state.global_step, loss=logs["loss"])
            self.steps.advance(note=f"loss {logs['loss']:.3f}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / WHOLE).touch()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.steps:
            self.steps.__exit__(None, None, None)
            self.steps = None


def _newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; half-written ones are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / WHOLE).exists():
            whole.append((int(path.name.split("-")[1]), str(path)))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(whole)[1] if whole else None


def _validation_loss(trainer: SFTTrainer) -> float:
    """Mean loss of the validation answers [nats per token]."""
    return round(float(trainer.evaluate()["eval_loss"]), 4)


def _save(model: PeftModel, tokenizer: Tokenizer, config: FinetuneConfig, folder: Path) -> float:
    """Save the adapter, merge it, prove that merging changed nothing, save the whole model."""
    _save_adapter(model, config.model.name, folder / "adapter")
    model.eval()
    probe = torch.arange(len(tokenizer), device=model.device)[:64].unsqueeze(0)
    with torch.inference_mode():
        separate = model(input_ids=probe, use_cache=False).logits
    merged = model.merge_and_unload()
    with torch.inference_mode():
        together = merged(input_ids=probe, use_cache=False).logits
    difference = float((separate - together).abs().max())
    if not difference <= MAX_MERGE_DIFFERENCE:
        raise DilmacError(
            f"merging changed the logits by {difference:.2g}, more than {MAX_MERGE_DIFFERENCE}",
            where=folder,
            mend="train with --precision fp32",
        )
    stops = [tokenizer.control_id(IM_END), tokenizer.document_start_id]
    merged.config.eos_token_id = stops
    merged.generation_config.eos_token_id = stops
    save_model(merged, folder)
    copy_tokenizer(config.model, folder)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return float(f"{difference:.2g}")


def _save_adapter(model: PeftModel, base_name: str, folder: Path) -> None:
    """The adapter as PEFT reads it, made to repeat: its config lists layers in the order of a set,
    and both config and card name a path of this machine."""
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = base_name
    for name, value in settings.items():
        if isinstance(value, list):
            settings[name] = sorted(value)
    write_json(path, settings)
