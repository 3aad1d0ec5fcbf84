"""`dilmac evaluate`: bits per byte of a model, beside PPMd primed with the same training text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from dilmac.core import (
    Figures,
    open_artifact,
    read_texts,
    say,
)
from dilmac.evaluate.bits import Bits, measure_bits
from dilmac.evaluate.compressor import primed_bits_per_byte
from dilmac.evaluate.config import EvaluateConfig
from dilmac.evaluate.page import write_page
from dilmac.evaluate.plan import evaluate_tasks
from dilmac.evaluate.texts import texts_by_group
from dilmac.models import load_model, require_model_folder, with_model_folder
from dilmac.tokenizer import Tokenizer


def evaluate(config: EvaluateConfig) -> Figures:
    """Measure a model on texts, by domain, file or source; or ask it tasks, where some are named.

    Raises:
        ConfigError: neither a text nor a corpus is given.
        InputError: the model, a text or the corpus cannot be read.
    """
    if config.tasks:
        figures = evaluate_tasks(config)
        if config.html:
            write_page(figures, config.html)
        return figures
    config = with_model_folder(config)
    require_model_folder(config.model)
    groups = texts_by_group(config)
    model = load_model(config.model)
    tokenizer = Tokenizer(config.model)
    tokenizer.require_fit(model.get_input_embeddings().num_embeddings)
    started = time.monotonic()
    say(f"evaluate: {sum(map(len, groups.values())):,} texts from {', '.join(groups)}")
    by_source = {
        name: measure_bits(model, tokenizer, texts, context=config.context)
        for name, texts in groups.items()
    }
    total = sum(by_source.values(), Bits())
    figures = {
        "model": config.model.name,
        "bits_per_byte": round(total.per_byte, 4),
        "bits_per_byte_by_source": {name: round(b.per_byte, 4) for name, b in by_source.items()},
        "measured_bytes": total.num_bytes,
        "measured_tokens": total.num_tokens,
    }
    if config.corpus:
        figures["ppmd"] = _ppmd(config, [text for texts in groups.values() for text in texts])
    figures["seconds"] = round(time.monotonic() - started, 1)
    return figures


def _ppmd(config: EvaluateConfig, measured: list[str]) -> Figures:
    if config.corpus is None:
        raise AssertionError("PPMd needs the training text")
    figures = open_artifact(config.corpus, "corpus").figures
    train_bytes = min(figures["text_bytes_kept"], config.max_prime_bytes)
    train = _at_most(read_texts(config.corpus, "train"), config.max_prime_bytes)
    return primed_bits_per_byte(train, measured, train_bytes=train_bytes)


def _at_most(texts: Iterable[str], max_bytes: int) -> Iterator[str]:
    for text in texts:
        max_bytes -= len(text.encode())
        if max_bytes < 0:
            return
        yield text
