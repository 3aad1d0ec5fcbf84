"""Fine-tuning on instructions in ChatML by TRL: loss on the answer only, LoRA or all parameters."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from dilmac.core import (
    Artifact,
    Build,
    DilmacError,
    Events,
    Figures,
    JsonlWriter,
    Steps,
    building,
    num_cpus,
    say,
)
from dilmac.models import (
    load_model,
    require_model_folder,
    round_weights,
    save_model,
    with_model_folder,
    write_model_card,
)
from dilmac.tokenizer import IM_END, Tokenizer, copy_tokenizer
from dilmac.training.allocator import keep_freed_memory
from dilmac.training.config import FinetuneConfig
from dilmac.training.instruct import (
    Row,
    data_sources,
    encode_examples,
    encode_fitting,
    instruction_files,
    read_instructions,
    split_examples,
)
from dilmac.training.lora import merge_adapter, save_adapter, with_adapter
from dilmac.training.peak import PeakMemory
from dilmac.training.precision import DTYPES, resolve_precision, training_device

CHECKPOINTS = "checkpoints"
WHOLE = "dilmac-whole"  # marks a checkpoint that was written to its end
MAX_SAVED_DIFFERENCE = 1e-3  # logits of the saved model against the trained one, in fp32
# Usual beginnings, not tuned here: full training moves every weight, so it takes smaller steps.
LEARNING_RATES = {"lora": 1e-3, "full": 3e-4}


def finetune(config: FinetuneConfig, *, force: bool = False) -> Artifact:
    """Fine-tune a model; with LoRA the folder is the merged model, and the adapter in `adapter/`.

    Raises:
        InputError: model or data cannot be read, or do not fit together.
    """
    config = with_model_folder(config)
    require_model_folder(config.model)
    examples = read_instructions(*instruction_files(config.data))
    split = split_examples(
        examples,
        validation_percent=config.validation_percent,
        test_percent=config.test_percent,
    )
    tokenizer = Tokenizer(config.model)
    inputs = {"model": [config.model], "data": instruction_files(config.data)}
    with building("model", config, inputs, force=force, resumable=True) as build:
        if build.done:
            return build.done
        _use_the_machine()
        base = load_model(config.model)
        tokenizer.require_fit(base.get_input_embeddings().num_embeddings)
        max_length = config.max_length or int(base.config.max_position_embeddings)
        rows, too_long = encode_examples(split.train, tokenizer, max_length)
        measured, unmeasured = encode_fitting(split.validation, tokenizer, max_length)
        too_long += unmeasured
        _keep_rejects(build.path, [example.where for example in too_long], max_length)
        model = _prepared(base, config)
        trainable, total = _num_parameters(model)
        say(
            f"finetune: {len(rows):,} examples, {len(measured):,} for validation, "
            f"{trainable:,} of {total:,} parameters are trained"
        )
        trainer = _trainer(model, rows, measured, config, build)
        before = _validation_loss(trainer) if measured else None
        timings = _train(trainer, build.path / CHECKPOINTS)
        after = _validation_loss(trainer) if measured else None
        # Without the mixed-precision wrapper that the trainer put around `forward`.
        model = trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        proof = _save(model, tokenizer, config, build.path)
        figures = {
            "examples": len(rows),
            "examples_validation": len(measured),
            "examples_test": len(split.test),
            "examples_too_long": len(too_long),
            "steps": trainer.state.max_steps,
            "trainable_parameters": trainable,
            "total_parameters": total,
            "validation_loss_before": before,
            "validation_loss": after,
            **proof,
            "precision": resolve_precision(config.precision, training_device()),
        }
        write_model_card(
            build, figures, how="finetuned", base=config.model, sources=data_sources(examples)
        )
        return build.finish(figures, **timings)


def _train(trainer: SFTTrainer, checkpoints: Path) -> Figures:
    """Train to the end, from the newest checkpoint on; what it took."""
    peak = PeakMemory()
    trainer.add_callback(peak)
    checkpoint = _newest_checkpoint(checkpoints)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=checkpoint)
    timings: Figures = {
        "train_seconds": round(time.monotonic() - started, 1),
        "peak_memory_bytes": peak.num_bytes,
    }
    if checkpoint:  # then the seconds are those of the last part alone
        timings["resumed_at_step"] = int(Path(checkpoint).name.split("-")[1])
    return timings


def _use_the_machine() -> None:
    torch.set_num_threads(num_cpus())
    keep_freed_memory()


def _num_parameters(model: Any) -> tuple[int, int]:
    """Parameters that are trained, and all."""
    counts = [(p.numel() if p.requires_grad else 0, p.numel()) for p in model.parameters()]
    return sum(trained for trained, _ in counts), sum(every for _, every in counts)


def _keep_rejects(folder: Path, places: list[str], max_length: int) -> None:
    if not places:
        return
    writer = JsonlWriter(folder / "rejects.jsonl.zst")
    for where in places:
        writer.write({"where": Path(where).name, "reason": "too_long", "max_length": max_length})
    writer.close()
    say(f"finetune: {len(places)} examples are longer than {max_length} tokens and were left out")


def _prepared(base: Any, config: FinetuneConfig) -> Any:
    """The model with what is to be trained: an adapter beside it, or its own parameters."""
    if config.method == "lora":
        return with_adapter(base, config)
    base.get_input_embeddings().requires_grad_(config.train_embeddings)
    base.get_output_embeddings().requires_grad_(config.train_embeddings)
    return base


def _trainer(
    model: Any,
    rows: list[Row],
    validation: list[Row],
    config: FinetuneConfig,
    build: Build,
) -> SFTTrainer:
    device = training_device()
    precision = resolve_precision(config.precision, device)
    tokenizer = AutoTokenizer.from_pretrained(str(config.model), local_files_only=True)
    arguments = SFTConfig(
        output_dir=str(build.path / CHECKPOINTS),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        learning_rate=config.learning_rate or LEARNING_RATES[config.method],
        warmup_steps=config.warmup_share,
        lr_scheduler_type="cosine",
        max_grad_norm=1.0,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
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
        # Of the bundled instructions a third of every random batch would be padding.
        train_sampling_strategy="group_by_length",
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


def _save(model: Any, tokenizer: Tokenizer, config: FinetuneConfig, folder: Path) -> Figures:
    """Save the whole model, and prove that what was saved is what was trained."""
    model.eval()
    probe = torch.arange(len(tokenizer), device=model.device)[:64].unsqueeze(0)
    proof: Figures = {}
    if config.method == "lora":
        save_adapter(model, config.model.name, folder / "adapter")
        model, difference = merge_adapter(model, probe, folder)
        proof["merge_logit_difference"] = float(f"{difference:.2g}")
    stops = [tokenizer.control_id(IM_END), tokenizer.document_start_id]
    model.config.eos_token_id = stops
    model.generation_config.eos_token_id = stops
    round_weights(model, DTYPES[config.save_precision])
    save_model(model, folder, DTYPES[config.save_precision])
    difference = _reopened_difference(model, probe, folder)
    proof["saved_logit_difference"] = float(f"{difference:.2g}")
    copy_tokenizer(config.model, folder)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return proof


def _reopened_difference(model: Any, probe: torch.Tensor, folder: Path) -> float:
    """Largest difference of a logit between the model and its folder, opened again.

    Raises:
        DilmacError: it is not the same model.
    """
    reopened = load_model(folder).to(probe.device).eval()
    with torch.inference_mode():
        ours, theirs = (m(input_ids=probe, use_cache=False).logits for m in (model, reopened))
    difference = float((ours.float() - theirs.float()).abs().max())
    if not difference <= MAX_SAVED_DIFFERENCE:
        raise DilmacError(
            f"the saved model's logits differ by {difference:.2g} from the trained one's",
            where=folder,
            mend="train with --precision fp32",
        )
    return difference
