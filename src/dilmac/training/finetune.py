"""Fine-tuning in ChatML by TRL: on answers or on preferences, by an adapter or in full."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import torch

from dilmac.core import Artifact, Build, ConfigError, Figures, building, num_cpus, say
from dilmac.models import (
    load_model,
    require_bitsandbytes,
    require_model_folder,
    require_plain_weights,
    with_model_folder,
    write_model_card,
)
from dilmac.tokenizer import Tokenizer
from dilmac.training.allocator import keep_freed_memory
from dilmac.training.collate import require_packable
from dilmac.training.config import FinetuneConfig
from dilmac.training.data.examples import Preference
from dilmac.training.data.prepare import (
    PreparedData,
    input_files,
    prepare_conversations,
    prepare_data,
    write_rejects,
)
from dilmac.training.instruct import (
    ROWS,
    EncodedData,
    encode_split,
    longest_example,
    removed_at_end,
)
from dilmac.training.memory import is_out_of_memory, tuning_out_of_memory
from dilmac.training.peak import PeakMemory
from dilmac.training.precision import DTYPES, resolve_precision, training_device
from dilmac.training.tune.methods import adapter_settings
from dilmac.training.tune.metric import import_metric, measure_metric
from dilmac.training.tune.pairs import encode_pairs
from dilmac.training.tune.parameters import count_parameters
from dilmac.training.tune.quantized import load_quantized, quantization_cost
from dilmac.training.tune.rows import first_new_row, made_rows, rows_in_the_head
from dilmac.training.tune.save import save_tuned
from dilmac.training.tune.trainer import CHECKPOINTS, Material, make_trainer, require_log
from dilmac.training.tune.watch import best_of, close_progress, newest_checkpoint


def finetune(config: FinetuneConfig, *, force: bool = False) -> Artifact:
    """Fine-tune a model; with an adapter the folder is the merged model, and it in `adapter/`.

    Raises:
        InputError: model or data cannot be read, or do not fit together.
        ConfigError: settings do not fit the model, or a metric cannot be imported.
        MissingDependencyError: `--method qlora` or `--log-to` need a package that is missing.
    """
    config = with_model_folder(config)
    require_plain_weights(require_model_folder(config.model), config.model)
    metric = import_metric(config.metric) if config.metric else None
    _require_packages(config)
    data = _read(config)
    tokenizer = Tokenizer(config.model)
    inputs = {"model": [config.model], **input_files(config)}
    with (
        building("model", config, inputs, force=force, resumable=True, scratch=(ROWS,)) as build,
        removed_at_end(build.path / ROWS) as rows_folder,
    ):
        if build.done:
            return build.done
        torch.set_num_threads(num_cpus())
        keep_freed_memory()
        base = _open(config)
        tokenizer.require_fit(base.get_input_embeddings().num_embeddings)
        material, counts = _encoded(base, data, tokenizer, config, rows_folder)
        cost = _cost(base, material, tokenizer, config)
        model, figures, timings = _train(base, material, config, build)
        model, proof = save_tuned(model, tokenizer, config, build.path)
        if metric:
            asked = data.split.validation[: config.metric_examples]
            found = measure_metric(metric, model, tokenizer, asked, config.metric_tokens)
            figures["metric"] = found
        shutil.rmtree(build.path / CHECKPOINTS, ignore_errors=True)
        figures = counts | figures | cost | proof | made_rows(config.model)
        figures["precision"] = resolve_precision(config.precision, training_device())
        write_model_card(build, figures, how="finetuned", base=config.model, sources=data.sources)
        return build.finish(figures, **timings)


def _require_packages(config: FinetuneConfig) -> None:
    """Refuse what cannot be done, before anything is read."""
    if config.preview:
        raise ConfigError("trains nothing", where="--preview", mend="call `preview_data`")
    require_log(config.log_to)
    if config.method == "qlora":
        require_bitsandbytes("--method qlora")


def _read(config: FinetuneConfig) -> PreparedData[Any]:
    if config.objective == "dpo":
        return prepare_data(config, Preference)
    return prepare_conversations(config)


def _open(config: FinetuneConfig) -> Any:
    """The base: in fp32, or for qlora with packed matrices."""
    if config.method == "qlora":
        precision = resolve_precision(config.precision, training_device())
        return load_quantized(config.model, config.quantization, DTYPES[precision])
    base = load_model(config.model)
    if config.method == "full":
        base.get_input_embeddings().requires_grad_(config.train_embeddings)
        base.get_output_embeddings().requires_grad_(config.train_embeddings)
    return base


def _encoded(
    base: Any,
    data: PreparedData[Any],
    tokenizer: Tokenizer,
    config: FinetuneConfig,
    rows_folder: Path,
) -> tuple[Material, Figures]:
    """Both parts in ids; what is left out is named among the rejects."""
    context = int(base.config.max_position_embeddings)
    if config.objective == "dpo":
        longest = longest_example(config, context)
        train, validation = encode_pairs(data.split, tokenizer, longest)
    else:
        if config.packing:
            require_packable(base.config)
        train, validation = encode_split(data.split, tokenizer, config, context, rows_folder)
    _require_measurable(config, validation)
    too_long = [*train.too_long, *validation.too_long]
    write_rejects(rows_folder.parent, [*data.rejects, *too_long])
    counts = {
        "examples": train.num_examples,
        "examples_validation": validation.num_examples,
        "examples_test": len(data.split.test),
        "examples_too_long": len(too_long),
        **data.figures,
        "rows": len(train.rows),
    }
    return Material(train.rows, validation.rows), counts


def _require_measurable(config: FinetuneConfig, validation: EncodedData) -> None:
    """Refuse measurements where the split, leaks or --max-length left nothing to measure on."""
    for flag, value in (("--eval-steps", config.eval_steps), ("--metric", config.metric)):
        if value and not validation.num_examples:
            raise ConfigError(
                "no example is left to measure on",
                where=flag,
                mend="give more examples, a larger --validation-percent or another --validation",
            )


def _cost(base: Any, material: Material, tokenizer: Tokenizer, config: FinetuneConfig) -> Figures:
    """What quantizing the base cost, for qlora on answers."""
    if config.method != "qlora":
        return {}
    rows = material.validation if config.objective == "sft" else []
    return quantization_cost(config.model, base, tokenizer, rows)


def _train(
    base: Any, material: Material, config: FinetuneConfig, build: Build
) -> tuple[Any, Figures, dict[str, float]]:
    """The trained model, with its adapter beside it; what was counted and measured; the time."""
    adapter = None
    if config.method != "full":
        adapter = adapter_settings(base, config, first_new_row(config))
    trainer = make_trainer(base, adapter, material, config, build.path)
    count = count_parameters(trainer.model)
    say(
        f"finetune: {len(material.train):,} rows, {len(material.validation):,} for validation; "
        f"{count}"
    )
    with rows_in_the_head(trainer.model):
        before = _measured(trainer, material)
        timings = _to_the_end(trainer, config, build.path / CHECKPOINTS)
        after = _measured(trainer, material)
        best = best_of(trainer)
        is_kept = best.loss is not None and config.final_weights == "best"
        if best.loss is not None and is_kept and best.loss < after["validation_loss"]:
            unwrapped = trainer.accelerator.unwrap_model(trainer.model)
            best.restore(unwrapped, build.path / CHECKPOINTS)
            after = _measured(trainer, material)
    figures = {"steps": trainer.state.global_step, **count.figures()}
    figures |= {f"{name}_before": value for name, value in before.items()} | after
    if is_kept:
        figures["best_step"] = best.step
    # Without the mixed-precision wrapper that the trainer put around `forward`.
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return model, figures, timings


def _to_the_end(trainer: Any, config: FinetuneConfig, checkpoints: Path) -> dict[str, float]:
    """Train from the newest checkpoint on; what it took.

    Raises:
        DilmacError: memory ran out.
    """
    trainer.add_callback(peak := PeakMemory())
    checkpoint = newest_checkpoint(checkpoints)
    started = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise tuning_out_of_memory(error, config) from error
        raise
    finally:
        close_progress(trainer)
    seconds = round(time.monotonic() - started, 1)
    timings = {"train_seconds": seconds, "peak_memory_bytes": peak.num_bytes}
    if checkpoint:  # then the seconds are those of the last part alone
        timings["resumed_at_step"] = int(Path(checkpoint).name.split("-")[1])
    return timings


def _measured(trainer: Any, material: Material) -> Figures:
    """Mean loss of the validation answers [nats per token], or of the pairs [nats] with the share
    in which the better answer is preferred."""
    if not len(material.validation):
        return {"validation_loss": None}
    metrics = trainer.evaluate()
    figures: Figures = {"validation_loss": round(float(metrics["eval_loss"]), 4)}
    if "eval_rewards/accuracies" in metrics:
        figures["validation_preferred"] = round(float(metrics["eval_rewards/accuracies"]), 4)
    return figures
