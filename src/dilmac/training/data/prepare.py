"""All that happens to the data of a run before a model is opened: read, split, compared, varied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic

from dilmac.core import Figures, JsonlWriter, say
from dilmac.models import DataSource
from dilmac.training.config import FinetuneConfig
from dilmac.training.data.augment import Variations, vary_questions
from dilmac.training.data.examples import Conversation, Reject
from dilmac.training.data.leaks import say_repeats, take_out_leaks
from dilmac.training.data.read import Kind, data_sources, read_data, say_what_was_read
from dilmac.training.data.records import data_files
from dilmac.training.data.split import Split, split_examples

VERB = "finetune"
REJECTS = "rejects.jsonl.zst"


@dataclass(frozen=True)
class PreparedData(Generic[Kind]):
    """Examples by their side, what was left out, and what is to be recorded of it."""

    split: Split[Kind]
    rejects: list[Reject]
    figures: Figures
    sources: list[DataSource]


def input_files(config: FinetuneConfig) -> dict[str, list[Path]]:
    """The files behind the settings that name data, by the name of the setting."""
    return {"data": data_files(config.data), "validation": data_files(config.validation)}


def prepare_data(config: FinetuneConfig, kind: type[Kind]) -> PreparedData[Kind]:
    """Read the data of a run as examples of a kind; what is wrong in it ends here.

    Raises:
        InputError: see `read_data`; nothing is left to train on.
    """
    files = input_files(config)
    allow = config.invalid == "reject"
    read = read_data(files["data"], kind, reject_invalid=allow)
    apart = read_data(files["validation"], kind, reject_invalid=allow)
    split = split_examples(
        read.examples,
        validation_percent=0 if files["validation"] else config.validation_percent,
        test_percent=config.test_percent,
    )
    split.validation += apart.examples
    for one in (read, apart):
        say_what_was_read(VERB, one)
    drops = config.duplicates == "drop"
    repeats = take_out_leaks(split, drop_duplicates=drops)
    say_repeats(VERB, repeats, dropped=drops)
    rejects = [*read.rejects, *apart.rejects]
    return PreparedData(
        split=split,
        rejects=[*rejects, *repeats.leaks],
        figures={"examples_invalid": len(rejects), **repeats.figures()},
        sources=data_sources([*read.examples, *apart.examples]),
    )


def prepare_conversations(config: FinetuneConfig) -> PreparedData[Conversation]:
    """`prepare_data`, with the user's side varied as the settings say, in training alone."""
    prepared = prepare_data(config, Conversation)
    shares = Variations(config.augment_ascii, config.augment_casing, config.augment_spelling)
    if not shares:
        return prepared
    train, num_changed = vary_questions(prepared.split.train, shares, config.seed)
    say(f"{VERB}: {num_changed:,} of the user's turns were changed to be as some people type")
    split = replace(prepared.split, train=train)
    return replace(
        prepared, split=split, figures={**prepared.figures, "turns_augmented": num_changed}
    )


def write_rejects(folder: Path, rejects: Iterable[Reject]) -> None:
    """Name what was left out in `rejects.jsonl.zst`; no file where there is nothing to name."""
    rows = [
        {"where": Path(one.where).name, "reason": one.reason, "found": one.found} for one in rejects
    ]
    if not rows:
        return
    writer = JsonlWriter(folder / REJECTS)
    for row in rows:
        writer.write(row)
    writer.close()
