"""`dilmac estimate pretrain`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from dilmac.core import ConfigError, read_texts
from dilmac.estimate.ask import Ask
from dilmac.estimate.facts import Corpus, Known, Model, UnknownError, Vocabulary
from dilmac.estimate.stage import Part, Stage
from dilmac.estimate.training_stages import (
    base_process,
    counted_seconds,
    memory_parts,
    timed_steps,
)
from dilmac.estimate.trials import Calibration, model_job
from dilmac.evaluate import measured_windows, measuring_bytes
from dilmac.models import num_parameters, preset_named, shape_for, training_bytes
from dilmac.tokenizer import Tokenizer
from dilmac.training import (
    FINAL_EVAL_BYTES,
    FRESH_EPOCHS,
    TOKENS_PER_PARAMETER,
    Budget,
    PretrainConfig,
    flops_per_token,
    num_steps_for,
    resolve_compile,
    training_device,
)

SAMPLE_TEXTS, SAMPLE_BYTES = 2000, 1_000_000  # whose tokens are counted
PIECE_TOKENS = 4000 // 3  # of a document: 4,000 bytes (`heldout.py`) of three bytes a token
USUAL_BYTES_PER_TOKEN = 4.0  # of held-out text, where no tokenizer is there to count


@dataclass(frozen=True)
class Plan:
    """What the settings come to."""

    model: Model
    context: int
    batch: int  # windows of a step
    micro: int  # windows in memory at once, of one process
    precision: str
    compiled: bool
    steps: int | None
    unknown: str = ""  # why there are no steps

    @property
    def step_tokens(self) -> int:
        """Tokens of a step."""
        return self.batch * self.context


def expect_pretrained(config: PretrainConfig, known: Known) -> Model:
    """The model that the stage will make.

    Raises:
        ConfigError: neither a tokenizer nor a model is named.
        UnknownError: its vocabulary, or the model that it goes on from, is not known.
    """
    if config.model is not None:
        return replace(known.model(config.model), folder=None, new_rows=None)
    if config.tokenizer is None:
        raise ConfigError(
            "no tokenizer", where="--tokenizer", mend="give one, or --model to go on training"
        )
    vocabulary = known.vocabulary(config.tokenizer)
    if config.params is not None:
        shape = shape_for(config.params, vocabulary.rows)
    else:
        shape = preset_named(config.preset)
    shape = shape.model_copy(update={"context": config.context or shape.context})
    is_bf16 = config.save_precision == "bf16"
    return Model(shape, vocabulary.rows, vocabulary, None, is_bf16=is_bf16)


def estimate_pretrain(stage: Stage, config: PretrainConfig, known: Known, ask: Ask) -> None:
    """Fill in what a pretraining takes."""
    source = known.model(config.model) if config.model is not None else None
    model = source or expect_pretrained(config, known)
    plan = plan_of(config, model, known, ask)
    stage.settings |= {
        "parameters": num_parameters(model.shape, model.rows),
        "vocabulary": model.rows,
        "context": plan.context,
        "micro_tokens": plan.micro * plan.context,
        "step_tokens": plan.step_tokens,
        "steps": plan.steps,
        "precision": plan.precision,
        "optimizer": config.optimizer,
        "compiled": plan.compiled,
    }
    job = {"config": config.model_dump(mode="json"), "rows": model.rows}
    job |= model_job(model) if config.model is not None else {}
    flops = flops_per_token(model.shape.shape_config(model.rows), plan.context)
    heaviest = flops * plan.micro * plan.context
    found = ask.trial("pretrain", job, stage, heaviest, plan.precision)
    fill_memory(stage, config, plan, known=known, ask=ask, found=found)
    stage.unknown += [plan.unknown] if plan.unknown else []
    if config.tokens and config.epochs and heldout_tokens(config, model.vocabulary, known) is None:
        stage.notes.append("steps are at most these: --epochs of a text that is not there yet")
    fill_time(stage, config, plan, known=known, ask=ask, found=found, flops=flops, verb="pretrain")


def plan_of(config: PretrainConfig, model: Model, known: Known, ask: Ask) -> Plan:
    """The windows and steps that the settings give."""
    target = ask.target
    context = config.context or model.shape.context
    batch = max(target.count, config.batch_tokens // context)
    micro = max(1, min(batch // target.count, config.micro_batch_tokens // context))
    precision = target.precision(config.precision)
    steps, unknown = None, ""
    if config.hours is None:
        try:
            steps = _steps(config, model, known, context, batch)
        except UnknownError as error:
            unknown = f"steps: {error}"
    compiled = config.compile == "on" or (config.compile == "auto" and target.kind == "cuda")
    if target.is_here and target.kind == "cpu" and config.compile == "auto":
        flops = flops_per_token(model.shape.shape_config(model.rows), context)
        work = flops * (steps or 0) * batch * context
        compiled = resolve_compile("auto", training_device(), work)
    return Plan(model, context, batch, micro, precision, compiled, steps, unknown)


def _steps(config: PretrainConfig, model: Model, known: Known, context: int, batch: int) -> int:
    budget = Budget(config.tokens, config.epochs) if config.tokens or config.epochs else None
    if budget is None:
        parameters = num_parameters(model.shape, model.rows)
        budget = Budget(TOKENS_PER_PARAMETER * parameters, FRESH_EPOCHS)
    try:
        tokens = corpus_tokens(config, model.vocabulary, known)
    except UnknownError:
        if config.tokens is None:
            raise
        # No text is needed. Of several budgets the smallest counts: there can be no more steps.
        budget, tokens = Budget(config.tokens), 0
    epoch = -(-tokens // context) * context
    return num_steps_for(budget, step_tokens=batch * context, epoch_tokens=epoch)


def corpus_tokens(config: PretrainConfig, vocabulary: Vocabulary, known: Known) -> int:
    """Tokens of one pass over the text; weights of sources are not taken into account.

    Raises:
        UnknownError: a corpus or the tokenizer is not there yet.
    """
    corpora = [known.corpus(path) for path in config.corpora]
    total = sum(corpus.train_bytes for corpus in corpora)
    return round(total / bytes_per_token(corpora, vocabulary))


def heldout_tokens(config: PretrainConfig, vocabulary: Vocabulary, known: Known) -> int | None:
    """Tokens of held-out text that the end measures; None where that is not known."""
    try:
        corpora = [known.corpus(path) for path in config.corpora]
        heldout = min(sum(corpus.heldout_bytes for corpus in corpora), FINAL_EVAL_BYTES)
        return round(heldout / bytes_per_token(corpora, vocabulary))
    except UnknownError:
        return None


def bytes_per_token(corpora: list[Corpus], vocabulary: Vocabulary) -> float:
    """Counted on the first texts.

    Raises:
        UnknownError: neither text nor tokenizer can be read yet.
    """
    folder = next((corpus.folder for corpus in corpora if corpus.folder), None)
    if folder is None:
        raise UnknownError("the corpus is not built yet, so not how many tokens it has")
    if vocabulary.folder is None:
        raise UnknownError("the tokenizer is not there yet, so not how many tokens the text has")
    tokenizer = Tokenizer(vocabulary.folder)
    num_bytes = num_tokens = 0
    for text in islice(read_texts(folder, "train"), SAMPLE_TEXTS):
        num_bytes += len(text.encode())
        num_tokens += len(tokenizer.encode(text)) + 1  # the token that ends it
        if num_bytes > SAMPLE_BYTES:
            break
    if not num_tokens:
        raise UnknownError("the corpus has no text to train on")
    return num_bytes / num_tokens


def measured_memory(config: PretrainConfig, plan: Plan, known: Known, *, wide: int = 4) -> int:
    """Logits of held-out text, read in windows of the model's own context [bytes]."""
    model = plan.model
    context = max(plan.context, model.shape.context)
    tokens = measured_windows(model.rows, context) * min(context, PIECE_TOKENS)
    heldout = heldout_tokens(config, model.vocabulary, known)
    tokens = tokens if heldout is None else min(tokens, heldout)
    return measuring_bytes(model.rows, context, wide=wide, num_tokens=tokens)


def fill_memory(
    stage: Stage,
    config: PretrainConfig,
    plan: Plan,
    *,
    known: Known,
    ask: Ask,
    found: Calibration | None,
) -> None:
    """Memory of pretraining at its peak."""
    tokens, shape, rows = plan.micro * plan.context, plan.model.shape, plan.model.rows
    shards = ask.target.count if config.parallel == "fsdp" else 1
    count = training_bytes(
        shape,
        rows,
        tokens,
        context=plan.context,
        optimizer=config.optimizer,
        precision=plan.precision,
        checkpointing=config.gradient_checkpointing,
        compiled=plan.compiled,
        device=ask.target.kind,
        num_shards=shards,
    )
    base, base_from = base_process(ask.target, found)
    moments = "one moment of matrices, two of the rest" if config.optimizer == "muon" else "two"
    share = f" / {shards}" if shards > 1 else ""
    what = {
        "weights": f"{num_parameters(shape, rows):,} numbers × 4 bytes{share}",
        "optimizer": f"{moments}, fp32{share}",
        "activations": f"{tokens:,} tokens of {shape.num_layers} layers"
        + (", checkpointed" if config.gradient_checkpointing else ""),
        "logits": f"of {rows:,} rows, a chunk at a time",
    }
    measuring = measured_memory(config, plan, known)
    stage.memory = memory_parts(
        count, what=what, measuring=measuring, base=base, base_from=base_from
    )
    if found:
        stage.trial_peak = found.found.get("peak_bytes")
    mends = (
        [] if tokens == plan.context else [f"--micro-batch-tokens {max(plan.context, tokens // 2)}"]
    )
    if not config.gradient_checkpointing:
        mends.append("--gradient-checkpointing")
    if ask.target.count > 1 and config.parallel != "fsdp":
        mends.append("--parallel fsdp")
    ask.warn(stage, [*mends, "a smaller --preset"])


def fill_time(
    stage: Stage,
    config: PretrainConfig,
    plan: Plan,
    *,
    known: Known,
    ask: Ask,
    found: Calibration | None,
    flops: float,
    verb: str,
) -> None:
    """Time of the loop: start, steps, measurements, the end."""
    if config.hours is not None:
        stage.seconds["steps"] = Part(config.hours * 3600, "the hours that were asked for")
        stage.how = "given"
        return
    if plan.steps is None:
        return
    if found is None:
        counted_seconds(
            stage,
            ask.target,
            verb=verb,
            steps=plan.steps,
            step_tokens=plan.step_tokens,
            flops=flops,
            precision=plan.precision,
            mfu=ask.config.mfu,
            checkpointing=config.gradient_checkpointing,
        )
        return
    stage.seconds["start"] = Part(found.import_seconds, "Python and the libraries, timed here")
    timed_steps(stage, found.found, plan.steps, compiled=plan.compiled)
    _measurements(stage, config, plan, known, found)
    sample = found.found["sample_seconds"]
    if sample and config.sample_prompts:
        many = len(config.sample_prompts)
        stage.seconds["samples"] = Part(many * sample, f"{many} continuations × {sample:.3g} s")
    ask.say_busy(stage, found)


def _measurements(
    stage: Stage, config: PretrainConfig, plan: Plan, known: Known, found: Calibration
) -> None:
    """Held-out text on the way and at the end; padding, and where windows overlap, are left out."""
    each = found.found["forward_seconds"]
    corpora = []
    for path in config.corpora:
        try:
            corpora.append(known.corpus(path))
        except UnknownError:
            stage.notes.append("held-out text is not there yet: measuring it is not in the time")
            return
    if each is None or plan.steps is None:
        return
    heldout = sum(corpus.heldout_bytes for corpus in corpora)
    times = 1 + plan.steps // config.eval_steps + (plan.steps % config.eval_steps > 0)
    on_the_way = min(heldout, config.eval_bytes)
    total = times * on_the_way + min(heldout, FINAL_EVAL_BYTES)
    try:
        per_token = bytes_per_token(corpora, plan.model.vocabulary)
    except UnknownError:
        per_token = USUAL_BYTES_PER_TOKEN
    tokens = total / per_token
    stage.seconds["measuring"] = Part(
        tokens * each,
        f"{times} × {on_the_way:,} and {min(heldout, FINAL_EVAL_BYTES):,} bytes of held-out "
        f"text, {tokens:,.0f} tokens × {each * 1000:.3g} ms",
    )
