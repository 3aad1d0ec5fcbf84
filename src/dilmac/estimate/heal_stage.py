"""`dilmac estimate heal`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dilmac.estimate.ask import Ask
from dilmac.estimate.facts import Known, Model
from dilmac.estimate.pretrain_stage import Plan, fill_time, measured_memory, plan_of
from dilmac.estimate.stage import Part, Stage
from dilmac.estimate.training_stages import base_process, memory_parts, trained_share_flops
from dilmac.estimate.trials import Calibration, model_job
from dilmac.models import num_block_parameters, num_parameters
from dilmac.training import PretrainConfig, num_adapter_parameters
from dilmac.transplant import HealConfig, healing_bytes, usual_context


def expect_healed(config: HealConfig, known: Known) -> Model:
    """The model that the stage will make: of the same shape."""
    is_bf16 = config.save_precision == "bf16"
    return replace(known.model(config.model), folder=None, is_bf16=is_bf16)


def estimate_heal(stage: Stage, config: HealConfig, known: Known, ask: Ask) -> None:
    """Fill in what a healing takes.

    Raises:
        UnknownError: the model is not known yet.
    """
    model = known.model(config.model)
    settings = config.as_pretraining({})
    if config.context is None:
        context = usual_context(model.shape.context, config.batch_tokens)
        settings = settings.model_copy(update={"context": context})
    plan = plan_of(settings, model, known, ask)
    trained = _trained(config, model)
    stage.settings |= {
        "parameters": num_parameters(model.shape, model.rows),
        "trained": trained,
        "train": config.train,
        "loss": config.loss,
        "rows": model.rows,
        "new_rows": model.new_rows,
        "context": plan.context,
        "micro_tokens": plan.micro * plan.context,
        "step_tokens": plan.step_tokens,
        "steps": plan.steps,
        "precision": plan.precision,
    }
    flops = trained_share_flops(model, plan.context, trained)
    heaviest = flops * plan.micro * plan.context
    found = ask.trial("heal", _job(config, model, plan), stage, heaviest, plan.precision)
    _memory(stage, config=config, settings=settings, plan=plan, known=known, ask=ask, found=found)
    stage.unknown += [plan.unknown] if plan.unknown else []
    fill_time(stage, settings, plan, known=known, ask=ask, found=found, flops=flops, verb="heal")
    if config.patience:
        stage.notes.append("--patience may end it earlier")
    if config.loss != "lm":
        stage.notes.append("the teacher's own forward passes are not in the time")


def _trained(config: HealConfig, model: Model) -> int:
    if config.train == "all":
        return num_parameters(model.shape, model.rows)
    tables = num_parameters(model.shape, model.rows) - num_block_parameters(model.shape)
    rows = tables if model.new_rows is None else tables // model.rows * model.new_rows
    adapters = config.train == "lora"
    return rows + (num_adapter_parameters(model.shape, config.lora_rank) if adapters else 0)


def _job(config: HealConfig, model: Model, plan: Plan) -> dict[str, Any] | str:
    if config.loss != "lm":
        return f"--loss {config.loss} reads texts with a teacher, which random ids are not"
    return {
        "config": config.model_dump(mode="json") | {"context": plan.context},
        "new_rows": None if config.train == "all" else model.new_rows,
        "vocabulary": model.rows,
        **model_job(model),
    }


def _memory(
    stage: Stage,
    *,
    config: HealConfig,
    settings: PretrainConfig,
    plan: Plan,
    known: Known,
    ask: Ask,
    found: Calibration | None,
) -> None:
    model, tokens = plan.model, plan.micro * plan.context
    half = plan.precision == "bf16" and model.is_bf16 and config.train != "all"
    count = healing_bytes(
        model.shape,
        model.rows,
        model.new_rows,
        train=config.train,
        lora_rank=config.lora_rank,
        micro_tokens=tokens,
        context=plan.context,
        precision=plan.precision,
        checkpointing=config.gradient_checkpointing,
        device=ask.target.kind,
    )
    trained = _trained(config, model)
    base, base_from = base_process(ask.target, found)
    what = {
        "weights": f"{num_parameters(model.shape, model.rows):,} numbers in "
        f"{'bf16' if half else 'fp32'}, {trained:,} trained ones in fp32",
        "optimizer": f"{trained:,} trained × 2 moments × 4 bytes",
        "activations": f"{tokens:,} tokens of {model.shape.num_layers} layers"
        + (", checkpointed" if config.gradient_checkpointing else ""),
        "logits": f"of {model.rows:,} rows, a chunk at a time, and the trained rows' gradient",
    }
    wide = 2 if half else 4
    measuring = measured_memory(settings, plan, known, wide=wide)
    stage.memory = memory_parts(
        count, what=what, measuring=measuring, base=base, base_from=base_from
    )
    if config.loss != "lm" and config.teacher is not None:
        teacher = known.model(config.teacher)
        numbers = num_parameters(teacher.shape, teacher.rows)
        logits = plan.context * teacher.rows * (2 * wide + 8)
        stage.memory["teacher"] = Part(
            numbers * (2 if plan.precision == "bf16" else 4) + logits,
            f"{numbers:,} numbers, and its logits of one window",
        )
    if found:
        stage.trial_peak = found.found.get("peak_bytes")
    mends = (
        [] if tokens == plan.context else [f"--micro-batch-tokens {max(plan.context, tokens // 2)}"]
    )
    mends += [] if config.gradient_checkpointing else ["--gradient-checkpointing"]
    fewer = {"all": "--train lora", "lora": "a smaller --lora-rank or --train rows"}
    mends += [fewer[config.train]] if config.train in fewer else []
    ask.warn(stage, [*mends, f"a smaller --context (now {settings.context})"])
