"""How long the examples of fine-tuning are, and what becomes of them in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dilmac.tokenizer import Tokenizer
from dilmac.training.config import FinetuneConfig
from dilmac.training.instruct import (
    encode_fitting,
    instruction_files,
    read_instructions,
    split_examples,
)

GROUP_BATCHES = 50  # that transformers sorts by length together, or a quarter of the data


@dataclass(frozen=True)
class Lengths:
    """Tokens of the examples that fit, in the order of the data, and the lines they stand in."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    places: tuple[str, ...]  # `file:line` of each of `train`
    num_too_long: int

    def padded_tokens(self, batch_size: int, seed: int = 0) -> list[int]:
        """Tokens of every batch of an epoch, padding included, grouped as training groups them."""
        return padded_tokens(self.train, batch_size, seed)


def example_lengths(config: FinetuneConfig, tokenizer: Tokenizer, max_length: int) -> Lengths:
    """Read and split the data as `finetune` does.

    Raises:
        InputError: as `finetune` raises it.
    """
    examples = read_instructions(*instruction_files(config.data))
    split = split_examples(
        examples, validation_percent=config.validation_percent, test_percent=config.test_percent
    )
    rows, too_long = encode_fitting(split.train, tokenizer, max_length)
    measured, _ = encode_fitting(split.validation, tokenizer, max_length)
    dropped = {id(example) for example in too_long}
    return Lengths(
        train=tuple(len(row.input_ids) for row in rows),
        validation=tuple(len(row.input_ids) for row in measured),
        places=tuple(one.where for one in split.train if id(one) not in dropped),
        num_too_long=len(too_long),
    )


def padded_tokens(lengths: Sequence[int], batch_size: int, seed: int = 0) -> list[int]:
    """Tokens of each batch: as long as its longest, after sorting within groups of batches.

    As `get_length_grouped_indices` of transformers does it, but for the draw.
    """
    drawn = np.random.default_rng(seed).permutation(np.asarray(lengths, dtype=np.int64))
    in_group = max(1, min(len(drawn) // (4 * batch_size), GROUP_BATCHES)) * batch_size
    order = [np.sort(drawn[at : at + in_group])[::-1] for at in range(0, len(drawn), in_group)]
    row = np.concatenate(order) if order else drawn
    batches = (row[at : at + batch_size] for at in range(0, len(row), batch_size))
    return [int(batch.max()) * len(batch) for batch in batches]
