"""`dilmac estimate finetune`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dilmac.estimate.ask import Ask
from dilmac.estimate.facts import Known, Model, UnknownError
from dilmac.estimate.stage import Part, Stage
from dilmac.estimate.training_stages import (
    base_process,
    counted_seconds,
    trained_share_flops,
)
from dilmac.estimate.trials import Calibration, finetune_job
from dilmac.models import Estimate, num_block_parameters, num_parameters
from dilmac.tokenizer import Tokenizer
from dilmac.training import (
    FinetuneConfig,
    Lengths,
    example_lengths,
    finetuning_bytes,
    longest_example,
    num_adapter_parameters,
)

FORWARD_SHARE = 1 / 3  # of a training step's time: forward alone, against forward and backward


@dataclass(frozen=True)
class Plan:
    """What the settings and the data come to."""

    model: Model
    lengths: Lengths
    max_length: int
    in_memory: int  # examples at once
    precision: str

    @property
    def longest(self) -> int:
        """[tokens]"""
        return max(self.lengths.train)

    def batches(self, config: FinetuneConfig) -> list[int]:
        """Tokens of every step of an epoch, padding included."""
        return self.lengths.padded_tokens(config.batch_size, config.seed)


def expect_finetuned(config: FinetuneConfig, known: Known) -> Model:
    """The model that the stage will make: merged, of the same shape."""
    is_bf16 = config.save_precision == "bf16"
    return replace(known.model(config.model), folder=None, is_bf16=is_bf16)


def estimate_finetune(stage: Stage, config: FinetuneConfig, known: Known, ask: Ask) -> None:
    """Fill in what a fine-tuning takes.

    Raises:
        UnknownError: the model or its tokenizer is not there yet.
        InputError: the data cannot be read.
    """
    model = known.model(config.model)
    if config.objective == "dpo" or config.packing:
        flag = "--packing" if config.packing else "--objective dpo"
        raise UnknownError(f"no formula for {flag}")
    if model.vocabulary.folder is None:
        _without_tokenizer(stage, config, model, ask)
        return
    plan = _plan(config, model, ask)
    stage.settings |= {
        "method": config.method,
        "parameters": num_parameters(model.shape, model.rows),
        "examples": len(plan.lengths.train),
        "examples_validation": len(plan.lengths.validation),
        "longest_tokens": plan.longest,
        "batch_size": config.batch_size,
        "in_memory": plan.in_memory,
        "precision": plan.precision,
    }
    trained = _trained(config, model)
    flops = trained_share_flops(model, plan.longest, trained)
    median = sorted(plan.lengths.train)[len(plan.lengths.train) // 2]
    job = finetune_job(config, model, plan.lengths)
    heaviest = flops * median * plan.in_memory
    found = ask.trial("finetune", job, stage, heaviest, plan.precision)
    _memory(
        stage,
        config=config,
        model=model,
        ask=ask,
        found=found,
        in_memory=plan.in_memory,
        longest=plan.longest,
        learned=plan.lengths.most_learned(plan.in_memory),
        precision=plan.precision,
    )
    _time(stage, config=config, plan=plan, ask=ask, found=found, flops=flops)


def _plan(config: FinetuneConfig, model: Model, ask: Ask) -> Plan:
    if model.vocabulary.folder is None:
        raise AssertionError("there is a tokenizer")
    max_length = longest_example(config, model.shape.context)
    lengths = example_lengths(config, Tokenizer(model.vocabulary.folder), max_length)
    if not lengths.train:
        raise UnknownError(f"no example fits into {max_length} tokens")
    in_memory = config.micro_batch_size or config.batch_size
    in_memory = min(in_memory, len(lengths.train))
    return Plan(model, lengths, max_length, in_memory, ask.target.precision(config.precision))


def _trained(config: FinetuneConfig, model: Model) -> int:
    """Numbers that are trained."""
    tables = num_parameters(model.shape, model.rows) - num_block_parameters(model.shape)
    rows = tables if config.train_embeddings and config.method != "ia3" else 0
    if config.method == "full":
        return num_block_parameters(model.shape) + rows
    if rows and (new := _new_rows(config, model)) is not None:
        rows = tables // model.rows * new
    return num_adapter_parameters(model.shape, config.lora_rank, config.method) + rows


def _new_rows(config: FinetuneConfig, model: Model) -> int | None:
    """Rows that are trained alone; None: all."""
    return None if config.train_rows == "all" else model.new_rows


def _without_tokenizer(stage: Stage, config: FinetuneConfig, model: Model, ask: Ask) -> None:
    """The most memory that there can be: a batch of the longest examples that are allowed."""
    stage.unknown.append(
        "time: no tokenizer is there yet, so not how many tokens the examples have"
    )
    longest = config.max_length
    if longest is None:
        stage.unknown.append("memory: the longest example is not known; --max-length bounds it")
        return
    in_memory = config.micro_batch_size or config.batch_size
    precision = ask.target.precision(config.precision)
    stage.notes.append(f"memory is that of {in_memory} examples of --max-length {longest}")
    _memory(
        stage,
        config=config,
        model=model,
        ask=ask,
        found=None,
        in_memory=in_memory,
        longest=longest,
        learned=in_memory * longest,
        precision=precision,
    )


def _memory(
    stage: Stage,
    *,
    config: FinetuneConfig,
    model: Model,
    ask: Ask,
    found: Calibration | None,
    in_memory: int,
    longest: int,
    learned: int,
    precision: str,
) -> None:
    shape, rows = model.shape, model.rows
    checkpointing = config.gradient_checkpointing
    count = finetuning_bytes(
        shape,
        rows,
        in_memory * longest,
        context=longest,
        method=config.method,
        lora_rank=config.lora_rank,
        train_embeddings=config.train_embeddings,
        new_rows=_new_rows(config, model),
        packed=config.quantization,
        precision=precision,
        checkpointing=checkpointing,
        learned_tokens=learned,
        device=ask.target.kind,
    )
    base, base_from = base_process(ask.target, found)
    trained = _trained(config, model)
    frozen = "" if config.method == "full" else f"{num_parameters(shape, rows):,} frozen numbers"
    if config.method == "qlora":
        frozen += f", matrices in {config.quantization}"
    formulas = {
        "weights": ", ".join(filter(None, [frozen, f"{trained:,} trained × 4 bytes"])),
        "gradients": f"{trained:,} trained × 4 bytes",
        "optimizer": f"{trained:,} trained × 2 moments × 4 bytes",
        "copies": "weights as they are multiplied",
        "activations": f"{in_memory} examples × {longest:,} tokens × {shape.num_layers} layers"
        + (", checkpointed" if checkpointing else ""),
        "logits": f"of {learned:,} tokens of answers, {rows:,} rows each, and the gradient of "
        "the head's table",
    }
    stage.memory["process"] = Part(base, base_from)
    for name, amount in count.parts().items():
        if amount:
            stage.memory[name] = Part(amount, formulas[name])
    if found and (peak := found.found.get("peak_bytes")):
        stage.trial_peak = peak
        if peak > (counted := stage.peak_bytes or 0):
            more = "more than was counted: what the trial's process held"
            stage.memory["beyond"] = Part(peak - counted, more)
    _prove(stage, count, num_parameters(shape, rows), method=config.method)
    ask.warn(stage, _mends(config, in_memory, checkpointing))


def _prove(stage: Stage, count: Estimate, parameters: int, *, method: str) -> None:
    """At the end the saved model is opened again beside the trained one; with qlora the base, made
    ordinary numbers to merge into, is there, too (`tune/save.py`)."""
    held = sum(stage.memory[name].amount for name in ("process", "weights", "optimizer"))
    copies = 2 if method == "qlora" else 1
    proof = 4 * parameters * copies
    after = held + proof
    before = stage.peak_bytes or 0
    if after <= before:
        return
    for name in ("gradients", "copies", "activations", "logits", "beyond"):
        stage.memory.pop(name, None)
    stage.memory["proof"] = Part(
        proof,
        f"{'the base in fp32, and ' if copies == 2 else ''}the saved model opened again in fp32; "
        f"training takes {count.total - count.weights:,} "
        "bytes beside the weights, which is less",
    )


def _mends(config: FinetuneConfig, in_memory: int, checkpointing: bool) -> list[str]:
    mends = []
    if in_memory > 1:
        mends.append(f"--micro-batch-size {max(1, in_memory // 2)}")
    if not checkpointing:
        mends.append("--gradient-checkpointing")
    if config.method == "full":
        mends.append("--method lora")
    elif config.train_embeddings and config.method != "ia3":
        mends.append("--no-train-embeddings")
    return [*mends, "a smaller --max-length"]


def _time(
    stage: Stage,
    *,
    config: FinetuneConfig,
    plan: Plan,
    ask: Ask,
    found: Calibration | None,
    flops: float,
) -> None:
    batches = plan.batches(config)
    steps = max(1, round(len(batches) * config.epochs))
    tokens = sum(batches) * config.epochs
    stage.settings |= {"steps": steps, "padded_tokens": round(tokens)}
    if found is None:
        counted_seconds(
            stage,
            ask.target,
            verb="finetune",
            steps=steps,
            step_tokens=tokens / steps,
            flops=flops,
            precision=plan.precision,
            mfu=ask.config.mfu,
            checkpointing=config.gradient_checkpointing,
        )
        return
    each = found.found["token_seconds"]
    stage.how = "timed here"
    stage.seconds["start"] = Part(found.import_seconds, "Python and the libraries, timed here")
    stage.seconds["steps"] = Part(
        tokens * each,
        f"{steps:,} steps, {tokens:,.0f} tokens with padding × {each * 1000:.3g} ms, "
        f"mean of {found.found['num_timed']} steps timed here",
    )
    if plan.lengths.validation:
        measured = 2 * sum(plan.lengths.validation)
        stage.seconds["validation"] = Part(
            measured * each * FORWARD_SHARE,
            f"before and after, {measured:,} tokens × a third of a step's {each * 1000:.3g} ms",
        )
    other = found.found["other_seconds"]
    if other is not None:
        stage.seconds["other"] = Part(other, "opening, merging, saving and proving, timed here")
    else:
        stage.notes.append("opening and saving are not in the time: the trial was cut short")
    ask.say_busy(stage, found)
