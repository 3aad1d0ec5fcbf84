"""`dilmac heal`: a transplanted model at home in its new vocabulary."""

from __future__ import annotations

from pathlib import Path

from dilmac.core import (
    Artifact,
    ConfigError,
    Figures,
    building,
    count_text_bytes,
    open_artifact,
)
from dilmac.models import (
    read_config,
    round_weights,
    save_model,
    with_model_folder,
    write_model_card,
)
from dilmac.tokenizer import copy_tokenizer
from dilmac.training import (
    DTYPES,
    SCRATCH,
    PretrainConfig,
    Ranks,
    Run,
    Student,
    best_weights,
    prepare,
    train,
    training_figures,
    write_training_curves,
)
from dilmac.transplant.heal.config import HealConfig
from dilmac.transplant.heal.losses import wrapped_with
from dilmac.transplant.heal.patient import Patient, first_new_row
from dilmac.transplant.measure import measure_healing, measured_texts, text_inputs
from dilmac.transplant.report import REPORT, write_healing_report

USUAL_CONTEXT = 2048  # tokens of a window; the model's own, 40,960 of Qwen3's, is minutes a step
MOST_PASSES = 100  # over replayed text: past it little is replayed but its repetition


def heal(config: HealConfig, *, force: bool = False) -> Artifact:
    """Train what a transplant made; the result is a plain model folder.

    An interrupted run goes on at its last checkpoint when the same command is given again.

    Raises:
        InputError: a model or corpus cannot be read.
        ConfigError: settings that do not fit together.
        DilmacError: the loss runs away, or memory runs out.
    """
    config = with_model_folder(config)
    for corpus in (config.corpus, *config.more_corpora, *config.replay):
        open_artifact(corpus, "corpus")
    first = first_new_row(config)
    patient = Patient(config, first)
    inputs = {"model": [config.model], "corpus": [config.corpus]}
    inputs |= {"more_corpora": list(config.more_corpora), "replay": list(config.replay)}
    inputs |= {"teacher": [config.teacher] if config.teacher else []} | text_inputs(config)
    texts = measured_texts(config)
    ranks = Ranks("ddp")
    if ranks.num_ranks > 1:
        raise ConfigError(
            "heals in one process", where="torchrun", mend="start dilmac heal without torchrun"
        )
    with (
        ranks,
        building("model", config, inputs, force=force, resumable=True, scratch=SCRATCH) as build,
    ):
        if build.done:
            return build.done
        run = prepare_healing(config, patient, ranks, build.path)
        with run.memory_explained():
            timings = train(run)
            figures = _saved(run, patient, config) | {"first_made_row": first}
            corpora = run.config.corpora
        del run  # its moments, before the models that are measured
        figures |= measure_healing(config, config.model, texts, build.path)
        write_training_curves(build.path)
        write_healing_report(build.path / REPORT, figures)
        write_model_card(build, figures, how="healed", corpora=corpora, base=config.model)
        return build.finish(figures, **timings)


def prepare_healing(
    config: HealConfig,
    patient: Patient,
    ranks: Ranks,
    folder: Path,
    *,
    num_steps: int | None = None,
) -> Run:
    """The run that heals, up to its first step; what it writes goes into `folder`.

    `num_steps` overrules the budget.
    """
    settings = settings_of(config, replay_weights(config))
    student = student_of(config, patient)
    return prepare(settings, ranks, folder, student=student, num_steps=num_steps)


def settings_of(config: HealConfig, source_weights: dict[str, float]) -> PretrainConfig:
    """The settings for the loop, with the window that is usual where none was asked for."""
    settings = config.as_pretraining(source_weights)
    if config.context is not None:
        return settings
    longest = int(read_config(config.model).get_text_config().max_position_embeddings)
    return settings.model_copy(update={"context": usual_context(longest, config.batch_tokens)})


def usual_context(longest: int, batch_tokens: int) -> int:
    """Tokens of a window where none was asked for; `longest` is the model's own context."""
    return min(USUAL_CONTEXT, longest, batch_tokens)


def student_of(config: HealConfig, patient: Patient) -> Student:
    """How the loop opens and wraps the patient."""
    return Student("heal", patient.open, wrapped_with(config, patient), config.patience)


def _saved(run: Run, patient: Patient, config: HealConfig) -> Figures:
    weights_of_step = best_weights(run, run.model)
    model = patient.finish(run.model)
    round_weights(model, DTYPES[config.save_precision])
    figures = training_figures(run, model)
    save_model(model, run.folder, DTYPES[config.save_precision])
    copy_tokenizer(config.model, run.folder)
    return figures | {
        "loss": config.loss,
        "train": config.train,
        "weights_of_step": weights_of_step,
    }


def replay_weights(config: HealConfig) -> dict[str, float]:
    """Weights of the replayed sources with which they are their share of the text.

    Raises:
        ConfigError: a source is both learned and replayed, or there is far too little to replay.
    """
    if not config.replay:
        return {}
    learned = {name for path in (config.corpus, *config.more_corpora) for name in _sources(path)}
    replayed = {name for path in config.replay for name in _sources(path)}
    if both := sorted(learned & replayed):
        raise ConfigError(
            f"the source {both[0]!r} is in what is learned and in what is replayed",
            where="--replay",
            mend="build one of the corpora with another --source-field",
        )
    own = sum(count_text_bytes(path, "train") for path in (config.corpus, *config.more_corpora))
    other = sum(count_text_bytes(path, "train") for path in config.replay)
    weight = config.replay_share / (1 - config.replay_share) * own / max(1, other)
    if weight > MOST_PASSES:
        raise ConfigError(
            f"{other:,} bytes to replay would be read {weight:,.0f} times in a pass over {own:,}",
            where="--replay",
            mend=f"give at least {int(other * weight / MOST_PASSES) + 1:,} bytes of it, or lower "
            "--replay-share",
        )
    return dict.fromkeys(sorted(replayed), weight)


def _sources(corpus: object) -> list[str]:
    figures = open_artifact(corpus, "corpus").figures  # type: ignore[arg-type]
    return list(figures["kept_by_source"])
