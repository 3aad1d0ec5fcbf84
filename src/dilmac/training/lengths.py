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
from dilmac.training.windows import IGNORED

GROUP_BATCHES = 50  # that transformers sorts by length together, or a quarter of the data


@dataclass(frozen=True)
class Lengths:
    """Tokens of the examples that fit, in the order of the data, and those that are trained on."""

    train: tuple[int, ...]
    learned: tuple[int, ...]  # tokens of each of `train` that are an answer's
    validation: tuple[int, ...]
    examples: tuple[Conversation, ...]  # those of `train`
    num_too_long: int

    def padded_tokens(self, batch_size: int, seed: int = 0) -> list[int]:
        """Tokens of every batch of an epoch, padding included, grouped as training groups them."""
        return padded_tokens(self.train, batch_size, seed)

    def most_learned(self, batch_size: int) -> int:
        """The most learned tokens of a batch: examples of about one length come together."""
        pairs = sorted(zip(self.train, self.learned, strict=True), reverse=True)
        learned = [number for _, number in pairs]
        return max(sum(learned[at : at + batch_size]) for at in range(0, len(learned), batch_size))


def example_lengths(config: FinetuneConfig, tokenizer: Tokenizer, max_length: int) -> Lengths:
    """Read and split the data as `finetune` does.

    Raises:
        InputError: as `finetune` raises it.
    """
    split = prepare_conversations(config).split
    train = _fitting(split.train, tokenizer, max_length)
    validation = _fitting(split.validation, tokenizer, max_length)
    return Lengths(
        train=tuple(length for length, _, _ in train),
        learned=tuple(learned for _, learned, _ in train),
        validation=tuple(length for length, _, _ in validation),
        examples=tuple(example for _, _, example in train),
        num_too_long=len(split.train) + len(split.validation) - len(train) - len(validation),
    )


def _fitting(
    examples: Sequence[Conversation], tokenizer: Tokenizer, max_length: int
) -> list[tuple[int, int, Conversation]]:
    """Examples that fit, each with its length and what is learned of it [tokens]."""
    rows = ((encode_row(one, tokenizer), one) for one in examples)
    return [
        (len(row.input_ids), sum(label != IGNORED for label in row.labels), one)
        for row, one in rows
        if len(row.input_ids) <= max_length
    ]


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
