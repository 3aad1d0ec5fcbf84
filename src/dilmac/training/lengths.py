"""How long the examples of fine-tuning are, and what becomes of them in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dilmac.tokenizer import Tokenizer
from dilmac.training.config import FinetuneConfig
from dilmac.training.data.examples import Conversation
from dilmac.training.data.prepare import prepare_conversations
from dilmac.training.instruct import encode_row

GROUP_BATCHES = 50  # that transformers sorts by length together, or a quarter of the data


@dataclass(frozen=True)
class Lengths:
    """Tokens of the examples that fit, in the order of the data, and those that are trained on."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    examples: tuple[Conversation, ...]  # those of `train`
    num_too_long: int

    def padded_tokens(self, batch_size: int, seed: int = 0) -> list[int]:
        """Tokens of every batch of an epoch, padding included, grouped as training groups them."""
        return padded_tokens(self.train, batch_size, seed)


def example_lengths(config: FinetuneConfig, tokenizer: Tokenizer, max_length: int) -> Lengths:
    """Read and split the data as `finetune` does.

    Raises:
        InputError: as `finetune` raises it.
    """
    split = prepare_conversations(config).split
    train = _fitting(split.train, tokenizer, max_length)
    validation = _fitting(split.validation, tokenizer, max_length)
    return Lengths(
        train=tuple(length for length, _ in train),
        validation=tuple(length for length, _ in validation),
        examples=tuple(example for _, example in train),
        num_too_long=len(split.train) + len(split.validation) - len(train) - len(validation),
    )


def _fitting(
    examples: Sequence[Conversation], tokenizer: Tokenizer, max_length: int
) -> list[tuple[int, Conversation]]:
    """Examples that fit, each with its length [tokens]."""
    each = ((len(encode_row(one, tokenizer).input_ids), one) for one in examples)
    return [(length, one) for length, one in each if length <= max_length]


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
