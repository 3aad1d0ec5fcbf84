"""Tokens cut into windows, in an order that a step number names.

Where training stands in the data is a function of (seed, step) alone, so a resumed run reads what
an undisturbed one would have read, on any number of processes.

A document is trained as it is measured: its first token is predicted from the end-of-text token
before it, which therefore belongs, as an input, to the document that it opens. So every token of
the corpus is a target once an epoch, the first one too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilmac.core import InputError
from dilmac.training.choices import Packing
from dilmac.training.pack import Plan, stored_plan
from dilmac.training.token_file import TokenFile

__all__ = ["IGNORED", "Batch", "TokenFile", "Windows", "positions_of"]

IGNORED = -100  # a target that is not to be predicted, as torch's cross entropy has it
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Rows of a step.

    input_ids: int64 `[rows, context]`; padding, right of everything, is the end-of-text token.
    targets: int64 `[rows, context]`, -100 where nothing is to be predicted: under padding, and
        where the last window of an epoch repeats tokens to be full.
    documents: int32 `[rows, context]`, the number of the document in its row from 0, padding
        counted as one more; None without document masking.
    positions: int64 `[rows, context]`, the place in the document, from 0 at the end-of-text token
        that opens it or where the row cuts it; None without document masking.
    """

    input_ids: Ids
    targets: Ids
    documents: NDArray[np.int32] | None = None
    positions: Ids | None = None


class Windows:
    """Windows of `context` tokens, every one once an epoch, each epoch in its own order.

    `concat` cuts the row of tokens every `context` tokens; the last window is moved back to be
    full. `best-fit` keeps documents whole where they fit into a window, and pads (see `pack`).
    """

    def __init__(
        self,
        tokens: TokenFile,
        context: int,
        seed: int,
        *,
        packing: Packing = "concat",
        mask_documents: bool = False,
        end_id: int,
    ):
        """Lay out the windows.

        Raises:
            InputError: the tokens do not fill one window, or end with another token than `end_id`.
        """
        self.tokens, self.context, self.seed = tokens, context, seed
        self.packing, self.mask_documents = packing, mask_documents
        self.end_id = end_id
        if end_id != tokens.index.end_id:
            raise InputError(
                f"documents end with id {tokens.index.end_id}, not {end_id}",
                where=tokens.folder,
                mend="tokenize with the tokenizer of this model",
            )
        if tokens.num_tokens < context:
            raise InputError(
                f"{tokens.num_tokens} tokens do not fill one window of {context}",
                where="--corpus",
                mend="give more text or a smaller --context",
            )
        self._plan: Plan | None = stored_plan(tokens, context) if packing == "best-fit" else None
        self.num_windows = (
            self._plan.num_windows if self._plan else -(-tokens.num_tokens // context)
        )
        self._order = lru_cache(maxsize=2)(self._shuffled)

    @property
    def num_targets(self) -> int:
        """Tokens that an epoch predicts: all there are."""
        return self.tokens.num_tokens

    @property
    def padding_share(self) -> float:
        """Share of an epoch's positions that predict nothing."""
        return 1 - self.num_targets / (self.num_windows * self.context)

    def fingerprint(self) -> str:
        """Hex SHA-256 of all that decides what a step reads; a checkpoint keeps it."""
        parts = [self.tokens.fingerprint, self.seed, self.context, self.packing]
        parts.append(self.mask_documents)
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, epoch]).permutation(self.num_windows)

    def batch(self, step: int, batch_size: int, *, rank: int = 0, num_ranks: int = 1) -> Batch:
        """Rows `rank`, `rank + num_ranks`, … of the step's `batch_size` windows, steps from 0."""
        places = range(rank, batch_size, num_ranks)
        shape = (len(places), self.context)
        inputs = np.full(shape, self.end_id, dtype=np.int64)
        targets = np.full(shape, IGNORED, dtype=np.int64)
        documents = np.zeros(shape, dtype=np.int32) if self.mask_documents else None
        for row, place in enumerate(places):
            epoch, nth = divmod(step * batch_size + place, self.num_windows)
            window = int(self._order(epoch)[nth])
            if self._plan:
                numbers = self._fill_packed(self._plan, window, inputs[row], targets[row])
            else:
                numbers = self._fill(window, inputs[row], targets[row])
            if documents is not None:
                documents[row] = numbers
        positions = None if documents is None else positions_of(documents)
        return Batch(inputs, targets, documents, positions)

    def _fill(self, window: int, inputs: Ids, targets: Ids) -> NDArray[Any]:
        wanted = window * self.context
        start = min(wanted, self.tokens.num_tokens - self.context)
        inputs[:], targets[:] = self._piece(start, self.context)
        targets[: wanted - start] = IGNORED
        opened = np.cumsum(inputs == self.end_id)
        opened -= opened[0]
        return opened

    def _fill_packed(self, plan: Plan, window: int, inputs: Ids, targets: Ids) -> NDArray[Any]:
        first, end = int(plan.rows[window]), int(plan.rows[window + 1])
        lengths = plan.lengths[first:end]
        begin = 0
        for start, length in zip(plan.starts[first:end].tolist(), lengths.tolist(), strict=True):
            stop = begin + length
            inputs[begin:stop], targets[begin:stop] = self._piece(start, length)
            begin = stop
        spaces = [*lengths.tolist(), self.context - begin]
        return np.repeat(np.arange(len(spaces)), spaces)

    def _piece(self, start: int, length: int) -> tuple[Ids, Ids]:
        """Inputs and targets for the tokens from `start` on; before the first stands an end."""
        ids = self.tokens.read(max(0, start - 1), start + length)
        if start == 0:
            ids = np.concatenate([np.array([self.end_id]), ids])
        return ids[:-1], ids[1:]


def positions_of(documents: NDArray[np.int32]) -> Ids:
    """Place of every position in its document `[rows, context]`, from 0."""
    places = np.broadcast_to(np.arange(documents.shape[1]), documents.shape)
    opens = np.diff(documents, axis=1, prepend=-1) != 0
    return places - np.maximum.accumulate(np.where(opens, places, 0), axis=1)
