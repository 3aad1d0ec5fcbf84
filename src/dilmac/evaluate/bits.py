"""Bits per byte: the loss of a model in a unit that does not depend on its tokenizer.

Sum of −log2 p over the tokens of a text, divided by its UTF-8 bytes. Every document starts after
the end-of-text token, which is not counted itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dilmac.tokenizer import Tokenizer

MAX_BATCH_TOKENS = 4096
# Bounds the logits in memory: as many as 4,096 tokens of 32,768 rows. With Qwen3's rows and 32,000
# new ones 4,096 tokens would hold 9 GB at once.
MAX_LOGITS = 1 << 27


def measured_windows(num_rows: int, context: int) -> int:
    """Windows of `context` tokens that are measured at once, for a vocabulary of `num_rows`."""
    return max(1, min(MAX_BATCH_TOKENS, MAX_LOGITS // num_rows) // context)


def measuring_bytes(
    num_rows: int, context: int, *, wide: int = 4, num_tokens: int | None = None
) -> int:
    """The most that `measure_bits` holds beside the model, in logits of `wide` bytes [bytes].

    `num_tokens` are those of the text, where that is short.

    The logits of a batch, those that are counted once more, in fp32 where they were not, and their
    log-probabilities.
    """
    tokens = measured_windows(num_rows, context) * context
    tokens = tokens if num_tokens is None else min(tokens, num_tokens)
    return tokens * num_rows * (2 * wide + 4 + (0 if wide == 4 else 4))


@dataclass
class Bits:
    """What a model needs for some text."""

    nats: float = 0.0
    num_tokens: int = 0
    num_bytes: int = 0

    def __add__(self, other: Bits) -> Bits:
        return Bits(
            self.nats + other.nats,
            self.num_tokens + other.num_tokens,
            self.num_bytes + other.num_bytes,
        )

    @property
    def per_byte(self) -> float:
        """Bits per UTF-8 byte; infinite for no text."""
        return self.nats / math.log(2) / self.num_bytes if self.num_bytes else math.inf


@dataclass(frozen=True)
class Window:
    """`ids[0]` is only read; of the rest, the losses from `first_counted` on are counted."""

    ids: list[int]
    first_counted: int


def windows_of(ids: list[int], context: int) -> Iterator[Window]:
    """Windows of at most `context + 1` ids; each id is counted once.

    After the first window every counted token has at least `context // 2` tokens before it.
    """
    counted = 1
    start = 0
    while counted < len(ids):
        end = min(len(ids), start + context + 1)
        yield Window(ids[start:end], counted - start)
        counted = end
        start = max(0, end - 1 - context // 2)


def measure_bits(
    model: Any, tokenizer: Tokenizer, texts: Iterable[str], *, context: int | None = None
) -> Bits:
    """Bits that `model` (a transformers causal model) needs for `texts`, in its own precision."""
    import torch

    context = context or int(model.config.max_position_embeddings)
    start = tokenizer.document_start_id
    total = Bits()

    def windows() -> Iterator[Window]:
        sized = (_counted(text, total) for text in texts)
        for ids in tokenizer.encode_stream(sized):
            total.num_tokens += len(ids)
            yield from windows_of([start, *ids], context)

    stream = windows()
    batch_size = measured_windows(model.get_input_embeddings().num_embeddings, context)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        while batch := list(islice(stream, batch_size)):
            total.nats += _batch_nats(model, batch)
    model.train(was_training)
    return total


def _counted(text: str, total: Bits) -> str:
    total.num_bytes += len(text.encode())
    return text


def _batch_nats(model: Any, batch: list[Window]) -> float:
    """Summed loss of the counted tokens of a batch of windows [nats]."""
    import torch
    import torch.nn.functional as F

    length = max(len(window.ids) for window in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    counted = torch.zeros(len(batch), length - 1, dtype=torch.bool)
    for row, window in enumerate(batch):
        ids[row, : len(window.ids)] = torch.tensor(window.ids)
        counted[row, window.first_counted - 1 : len(window.ids) - 1] = True
    ids, counted = ids.to(model.device), counted.to(model.device)
    # Padding stands right of everything that is counted, so causal attention never sees it.
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    losses = F.cross_entropy(logits[counted].float(), ids[:, 1:][counted], reduction="sum")
    return float(losses.double())
