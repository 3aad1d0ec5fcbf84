"""What a smaller type costs on real text: bits per byte of the model, and of what was exported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from dilmac.core import Figures, ParityError
from dilmac.engines import Engine
from dilmac.tokenizer import Tokenizer

# A type that costs more bits per byte than this is warned of [%].
MAX_LOSS_PERCENT = 2.0


def compare_loss(
    model: Any,
    engine: Engine,
    tokenizer: Tokenizer,
    lines: Iterable[str],
    *,
    num_tokens: int,
    length: int = 256,
) -> Figures:
    """Bits per byte of `model` (a transformers causal model) and of `engine` on the same text.

    Lines are taken whole until they have `num_tokens`, in rows of at most `length`, each begun
    like a document. `loss_percent` is what the engine needs more; `warning` is there where that is
    more than `MAX_LOSS_PERCENT`.

    Raises:
        ParityError: the engine gives a log-probability that is no finite number.
    """
    ids, num_bytes = _text_ids(tokenizer, lines, num_tokens)
    before = after = 0.0
    for row in _rows(ids, tokenizer.document_start_id, length):
        before += _nats(model, row)
        after -= sum(logprob for logprob, _ in engine.logprobs([(row, 1)])[0])
    if not math.isfinite(after):
        raise ParityError(
            "log-probabilities are not finite", mend="export it with more bits: --type fp32"
        )
    loss_percent = 100 * (after / before - 1)
    figures: Figures = {
        "tokens": len(ids),
        "bits_per_byte_before": round(before / math.log(2) / num_bytes, 4),
        "bits_per_byte_after": round(after / math.log(2) / num_bytes, 4),
        "loss_percent": round(loss_percent, 3) + 0.0,  # never -0.0
    }
    if loss_percent > MAX_LOSS_PERCENT:
        figures["warning"] = (
            f"needs {loss_percent:.1f} % more bits per byte than the model that it was made from"
        )
    return figures


def _text_ids(tokenizer: Tokenizer, lines: Iterable[str], num_tokens: int) -> tuple[list[int], int]:
    """Ids of whole lines, at least `num_tokens` if there are as many, and their UTF-8 bytes."""
    ids: list[int] = []
    num_bytes = 0
    for line in lines:
        ids += tokenizer.encode(line)
        num_bytes += len(line.encode())
        if len(ids) >= num_tokens:
            break
    return ids, num_bytes


def _rows(ids: list[int], start: int, length: int) -> Iterator[list[int]]:
    step = length - 1
    for at in range(0, len(ids), step):
        yield [start, *ids[at : at + step]]


def _nats(model: Any, row: list[int]) -> float:
    import torch
    import torch.nn.functional as F

    ids = torch.tensor([row])
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
    return float(F.cross_entropy(logits, ids[0, 1:], reduction="sum").double())
