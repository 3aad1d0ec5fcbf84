"""The texts whose bits are measured, by domain, file or source."""

from __future__ import annotations

import math
import random
from pathlib import Path

from dilmac.core import (
    ConfigError,
    InputError,
    Steps,
    expand_inputs,
    open_artifact,
    read_documents,
    read_measured_documents,
    say,
)
from dilmac.evaluate.config import EvaluateConfig
from dilmac.evaluate.outcome import Outcome
from dilmac.evaluate.subject import Subject
from dilmac.evaluate.tasks.files import BITS

Groups = dict[str, list[str]]


def texts_by_group(config: EvaluateConfig) -> Groups:
    """The texts to measure, at most `max_text_bytes` of them: of `--text` by the field
    `group_field` where a record has it, else by file; of a corpus by source.

    Raises:
        ConfigError: neither texts nor a corpus are given.
        InputError: a file cannot be read, or no text is within the limit.
    """
    if config.text:
        groups = _texts_of_files(config)
    elif config.corpus:
        groups = _heldout_texts(config.corpus, config.max_text_bytes)
    else:
        raise ConfigError("no text to measure", where="--text", mend="give --text or --corpus")
    groups = {name: kept for name, texts in groups.items() if (kept := list(filter(None, texts)))}
    if not groups:
        where = config.text[0] if config.text else config.corpus
        raise InputError("no text, or none within --max-text-bytes", where=where, mend="raise it")
    return groups


def _texts_of_files(config: EvaluateConfig) -> Groups:
    groups: Groups = {}
    paths = expand_inputs(config.text)
    for path in paths:
        share = config.max_text_bytes // len(paths)  # so that no file is left out for another
        name, has_text = path.name.split(".")[0], False
        for document in read_measured_documents(
            [path], config.text_field, share, optional=[config.group_field]
        ):
            group = str(document.get(config.group_field) or name)
            groups.setdefault(group, []).append(str(document[config.text_field]))
            has_text = True
        if not has_text:
            say(
                f"evaluate: {path} is not measured: its first text is longer than its share of "
                f"--max-text-bytes, {share:,} bytes"
            )
    return groups


def _heldout_texts(corpus: Path, max_bytes: int) -> Groups:
    groups: Groups = {}
    open_artifact(corpus, "corpus")
    left = max_bytes
    for document in read_documents(corpus, "heldout"):
        left -= len(document["text"].encode())
        if left < 0:
            break
        groups.setdefault(document["source"], []).append(document["text"])
    return groups


def drawn(groups: Groups, limit: int | None, seed: int) -> Groups:
    """At most `limit` texts of each group."""
    chance = random.Random(seed)
    return {
        name: texts if limit is None or limit >= len(texts) else chance.sample(texts, limit)
        for name, texts in groups.items()
    }


def run_bits(groups: Groups, subject: Subject) -> Outcome:
    """Bits per byte through an engine: of an item the bits are the value, the bytes the weight."""
    subject.num_truncated = 0
    texts = [(name, text) for name, texts in groups.items() for text in texts]
    with Steps(f"{BITS}, {subject.name}", total=len(texts), unit="texts") as steps:
        found = []
        for _, text in texts:
            found.append(subject.bits(text))
            steps.advance()
    return Outcome(
        values={"bits_per_byte": [one.nats / math.log(2) for one in found]},
        weights=[float(one.num_bytes) for one in found],
        groups=[name for name, _ in texts],
        items=[
            {
                "id": place,
                "group": name,
                "bits": round(one.nats / math.log(2), 3),
                "bytes": one.num_bytes,
            }
            for place, ((name, _), one) in enumerate(zip(texts, found, strict=True))
        ],
    )
