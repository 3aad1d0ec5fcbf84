"""Conversations into rows of ids and labels on disk: masked, packed if wanted, never truncated."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from dilmac.core import ConfigError, InputError, say
from dilmac.tokenizer import Tokenizer
from dilmac.training.config import FinetuneConfig
from dilmac.training.data.encode import encode_example
from dilmac.training.data.examples import Conversation, Reject
from dilmac.training.data.split import Split
from dilmac.training.pack import best_fit
from dilmac.training.windows import IGNORED

ROWS = "rows"  # folder of the encoded data, while a run needs it
# A packed row by default: that of a model's context (40,960 in Qwen3) would fill the memory.
PACKED_TOKENS = 1024
BATCH_ROWS = 256  # in memory at once, while they are written
# `length` is what Trainer groups batches by; it would read every row for it.
_COLUMNS = ("input_ids", "labels", "positions", "length")


@dataclass(frozen=True)
class Row:
    """Ids `[length]` and labels `[length]` of an example; `IGNORED` where nothing is learned."""

    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class EncodedData:
    """Rows to train on or to measure, memory-mapped from a file.

    rows: `input_ids`, `labels`, `positions` (each `[length]`; a position is the place in the
        example, from 0) and `length`.
    num_examples: those that the rows hold.
    too_long: those that do not fit.
    """

    rows: Dataset
    num_examples: int
    too_long: list[Reject] = field(default_factory=list)


def encode_row(example: Conversation, tokenizer: Tokenizer) -> Row:
    """Ids and labels of an example.

    Raises:
        InputError: nothing in it is learned.
    """
    chat = encode_example(example, tokenizer)
    labels = [
        token if is_answer else IGNORED
        for token, is_answer in zip(chat.ids, chat.assistant_mask, strict=True)
    ]
    return Row(chat.ids, labels)


def encode_to_disk(
    examples: Iterable[Conversation],
    tokenizer: Tokenizer,
    max_length: int,
    path: Path,
    *,
    pack_to: int | None = None,
) -> EncodedData:
    """Write the rows of the examples that fit into `max_length` tokens into an Arrow file.

    With `pack_to` a row holds as many examples as fit into so many tokens, or as many as the
    longest example has: longest first into the fullest row that has room (see `pack.best_fit`). It
    may well be that no example fits, and there is no row.

    Raises:
        InputError: nothing in an example is learned.
    """
    too_long: list[Reject] = []

    def fitting() -> Iterator[dict[str, Any]]:
        for example in examples:
            row = encode_row(example, tokenizer)
            length = len(row.input_ids)
            if length > max_length:
                found = f"{length} tokens, more than {max_length}"
                too_long.append(Reject(example.where, "too_long", found))
            else:
                yield {**vars(row), "positions": range(length), "length": length}

    rows = _write(fitting(), path)
    num_examples = len(rows)
    if pack_to and num_examples:
        rows = _write(_packed(rows, pack_to), path.with_suffix(".packed.arrow"))
    return EncodedData(rows, num_examples, too_long)


def longest_example(config: FinetuneConfig, context: int) -> int:
    """Tokens of the longest example that is taken; `context` is the model's [tokens].

    Raises:
        ConfigError: --max-length is longer than the model's context.
    """
    if config.max_length and config.max_length > context:
        raise ConfigError(
            f"{config.max_length:,} tokens, the model reads {context:,}",
            where="--max-length",
            mend=f"give {context} at most, or leave it out",
        )
    return config.max_length or context


def encode_split(
    split: Split[Conversation],
    tokenizer: Tokenizer,
    config: FinetuneConfig,
    context: int,
    folder: Path,
) -> tuple[EncodedData, EncodedData]:
    """Rows to train on, packed if wanted, and rows to measure, in files of a folder.

    `context` is the model's [tokens].

    Raises:
        InputError: no example to train on fits.
        ConfigError: see `longest_example`.
    """
    max_length = longest_example(config, context)
    pack_to = (config.max_length or min(context, PACKED_TOKENS)) if config.packing else None
    path = folder / "train.arrow"
    train = encode_to_disk(split.train, tokenizer, max_length, path, pack_to=pack_to)
    path = folder / "validation.arrow"
    validation = encode_to_disk(split.validation, tokenizer, max_length, path)
    require_fitting(train, validation, max_length)
    return train, validation


def require_fitting(train: EncodedData, validation: EncodedData, max_length: int) -> None:
    """Say how many examples are too long.

    Raises:
        InputError: all that would be trained on are.
    """
    if not train.num_examples:
        raise InputError(
            f"no example fits into {max_length} tokens",
            where=train.too_long[0].where,
            mend="give a larger --max-length or shorter examples",
        )
    if too_long := len(train.too_long) + len(validation.too_long):
        say(f"finetune: {too_long:,} examples of more than {max_length} tokens were left out")


@contextmanager
def removed_at_end(folder: Path) -> Iterator[Path]:
    """A folder that is needed only within: a run that fails leaves none of it to go on with."""
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _packed(rows: Dataset, capacity: int) -> Iterator[dict[str, Any]]:
    """Rows of several examples, one behind the other."""
    lengths = np.array(rows["length"], dtype=np.int32)
    bins, num_bins = best_fit(lengths, max(capacity, int(lengths.max())))
    order = np.argsort(bins, kind="stable")  # in a row, examples keep their order
    bounds = np.searchsorted(bins[order], np.arange(num_bins + 1))
    for start, end in pairwise(bounds.tolist()):
        members = [rows[place] for place in order[start:end].tolist()]
        joined = {name: [i for one in members for i in one[name]] for name in _COLUMNS[:3]}
        yield {**joined, "length": len(joined["input_ids"])}


def _write(rows: Iterable[dict[str, Any]], path: Path) -> Dataset:
    """Rows into an Arrow file, opened memory-mapped."""
    import pyarrow as pa

    numbers = pa.list_(pa.int32())
    schema = pa.schema([*((name, numbers) for name in _COLUMNS[:3]), (_COLUMNS[3], pa.int32())])
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        waiting: list[dict[str, Any]] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) == BATCH_ROWS:
                writer.write_batch(pa.RecordBatch.from_pylist(waiting, schema))
                waiting = []
        writer.write_batch(pa.RecordBatch.from_pylist(waiting, schema))
    return Dataset.from_file(str(path))
