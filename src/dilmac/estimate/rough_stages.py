"""Stages that do not train: by their bytes and rates that were measured once, so roughly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dilmac.core import expand_inputs, num_cpus
from dilmac.corpus import CorpusConfig
from dilmac.estimate.ask import Ask
from dilmac.estimate.facts import Corpus, Known, Model, UnknownError, Vocabulary, transplanted
from dilmac.estimate.stage import Part, Stage
from dilmac.export import GgufConfig, OllamaConfig
from dilmac.models import num_parameters
from dilmac.tokenizer import ExtendConfig, TokenizerConfig
from dilmac.transplant import TransplantConfig

MB = 1_000_000
PACKED = (".gz", ".zst", ".xz", ".parquet")
# Text that a packed byte holds: JSONL of Turkish prose under zstd is a third to a fourth.
TEXT_PER_PACKED = 3.5


@dataclass(frozen=True)
class Rate:
    """What was measured once, on two or four cores (benchmarks/RESULTS.md)."""

    bytes_per_second: float
    start_seconds: float
    peak_bytes: float
    where: str


CORPUS = Rate(3.8 * MB, 5, 680 * MB, "all steps: 3.79 MB/s for each core, 550 to 679 MB")
TRAIN = Rate(3.3 * MB, 5, 630 * MB, "70 MB in 21.3 s, 0.63 GB")
SUPERWORDS = Rate(0.93 * MB, 5, 980 * MB, "70 MB with superwords in 75.3 s, 0.98 GB")
EXTEND = Rate(1.4 * MB, 5, 805 * MB, "80 MB in 56 s, 805 MB")
# Two old tables are mapped from the file while new rows are made.
TRANSPLANT = Rate(87 * MB, 40, 1_290 * MB, "Qwen3-8B, 86 to 157 MB/s, 1.29 GB beside its tables")
# Bits of a weight: of K-quants as measured on Qwen3-0.6B's shape (q6_k by its blocks).
GGUF_BITS = {"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5} | {
    "q4_k_m": 5.28,
    "q5_k_m": 5.92,
    "q6_k": 6.57,
}
EXPORT = Rate(50 * MB, 12, 700 * MB, "a model of 15 million parameters in 12.2 s with its proof")


def _rough(stage: Stage, rate: Rate, num_bytes: float, *, cores: int = 1, more: float = 0) -> None:
    stage.how = "measured rate, rough"
    stage.seconds["start"] = Part(rate.start_seconds, "start-up, usual")
    each = "" if cores == 1 else f" × {cores} cores"
    stage.seconds["work"] = Part(
        num_bytes / (rate.bytes_per_second * cores),
        f"{num_bytes / MB:,.1f} MB / ({rate.bytes_per_second / MB:,.2f} MB/s{each}); rough: "
        f"{rate.where}",
    )
    stage.memory["process"] = Part(rate.peak_bytes, f"rough: {rate.where}")
    if more:
        stage.memory["tables"] = Part(more, "old tables, as the file holds them")


def input_bytes(config: CorpusConfig) -> tuple[int, bool]:
    """Bytes of text in the inputs, and whether some are packed, so that it is a guess.

    Raises:
        UnknownError: a data set of the hub, whose size is not on this disk.
    """
    if any(str(item).startswith("hf://") for item in config.inputs):
        raise UnknownError("the size of a data set of the hub (hf://…) is not known here")
    files = expand_inputs(config.inputs)
    total = 0.0
    for file in files:
        size = file.stat().st_size
        total += size * (TEXT_PER_PACKED if file.suffix in PACKED else 1)
    return round(total), any(file.suffix in PACKED for file in files)


def estimate_corpus(stage: Stage, config: CorpusConfig, _known: Known, ask: Ask) -> None:
    """Bytes of the inputs and a rate."""
    total, is_packed = input_bytes(config)
    if is_packed:
        stage.notes.append(f"packed inputs are taken as {TEXT_PER_PACKED} times their size")
    workers = config.workers or num_cpus()
    stage.settings |= {"input_bytes": total, "workers": workers}
    _rough(stage, CORPUS, total, cores=workers)
    _warn_on_host(stage, ask)


def expect_corpus(config: CorpusConfig, known: Known) -> Corpus:
    """What is kept of the inputs is not known before: no figure.

    Raises:
        UnknownError: always.
    """
    del known
    raise UnknownError(f"the corpus {config.out} is not built yet, so not how much text is kept")


def estimate_tokenizer(stage: Stage, config: TokenizerConfig, known: Known, ask: Ask) -> None:
    """Bytes of the corpus, at most those that are read, and a rate."""
    total = min(_text_bytes(config, known), config.max_text_bytes)
    stage.settings |= {"text_bytes": total, "vocab_size": config.vocab_size}
    _rough(stage, SUPERWORDS if config.superwords else TRAIN, total)
    _warn_on_host(stage, ask)


def expect_tokenizer(config: TokenizerConfig, known: Known) -> Vocabulary:
    """Its rows.

    Raises:
        UnknownError: `auto`, which the text decides.
    """
    del known
    if config.vocab_size == "auto":
        raise UnknownError("--vocab-size auto is fitted to the text")
    return Vocabulary(config.vocab_size, None)


def estimate_extension(stage: Stage, config: ExtendConfig, known: Known, ask: Ask) -> None:
    """Bytes of the corpus, at most those that are read, and a rate."""
    total = min(_text_bytes(config, known), config.max_text_bytes)
    stage.settings |= {"text_bytes": total, "rows": config.rows}
    _rough(stage, EXTEND, total)
    _warn_on_host(stage, ask)


def expect_extension(config: ExtendConfig, known: Known) -> Vocabulary:
    """Old rows and new ones."""
    base = known.vocabulary(config.base)
    return Vocabulary((config.keep or base.rows) + config.rows, None, new_rows=config.rows)


def _text_bytes(config: Any, known: Known) -> int:
    return sum(known.corpus(path).train_bytes for path in (config.corpus, *config.more_corpora))


def estimate_transplant(stage: Stage, config: TransplantConfig, known: Known, ask: Ask) -> None:
    """Bytes of the model that is written, and a rate."""
    source, made = known.model(config.model), expect_transplant(config, known)
    wide = 2 if source.is_bf16 else 4
    written = wide * num_parameters(made.shape, made.rows)
    tables = wide * source.rows * source.shape.hidden_size * (1 if source.shape.tied else 2)
    stage.settings |= {"bytes_written": written, "rows": made.rows}
    _rough(stage, TRANSPLANT, written, more=tables)
    if config.init == "auto":
        stage.notes.append("--init auto trains each method first: its time is not in this")
    _warn_on_host(stage, ask)


def expect_transplant(config: TransplantConfig, known: Known) -> Model:
    """The source's shape on the new rows."""
    source, vocabulary = known.model(config.model), known.vocabulary(config.tokenizer)
    rows = -(-(config.rows or vocabulary.rows) // config.pad_to) * config.pad_to
    return transplanted(source, vocabulary, untie=config.untie, rows=rows)


def estimate_gguf(stage: Stage, config: GgufConfig, known: Known, ask: Ask) -> None:
    """Bytes of the file that is written, and a rate; the model is opened whole for the proof."""
    if isinstance(config, OllamaConfig) and config.weights == "folder":
        raise UnknownError("a folder for Ollama is copied: it takes the model folder's own size")
    model = known.model(config.model)
    numbers = num_parameters(model.shape, model.rows)
    written = numbers * GGUF_BITS[config.type] / 8
    stage.settings |= {"bytes_written": round(written), "type": config.type}
    _rough(stage, EXPORT, written)
    stage.memory["proof"] = Part(4 * numbers + written, "the model in fp32, and the file")
    _warn_on_host(stage, ask)


def _warn_on_host(stage: Stage, ask: Ask) -> None:
    """These stages run on the CPU, also where the training is to run on a card elsewhere."""
    if ask.target.is_here and ask.target.kind == "cpu":
        ask.warn(stage, ["a machine with more memory"])
