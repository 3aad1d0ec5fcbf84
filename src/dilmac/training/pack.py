"""Best-fit packing: documents stay whole where they fit, with as little padding as can be.

Documents longer than a window are cut into whole windows and a rest. Rests and shorter documents,
longest first, go each into the fullest window that still has room (best-fit decreasing; Ding et
al., Fewer Truncations Improve Language Modeling, 2024, arXiv:2404.10830). Nothing is cropped away:
what stays empty is padding, and its share is counted.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from dilmac.core import InputError
from dilmac.training.token_file import TokenFile


@dataclass(frozen=True)
class Plan:
    """Pieces of the tokens, in the order of the windows that they fill.

    starts: place of a piece's first token, int64 `[pieces]`.
    lengths: its tokens, int32 `[pieces]`.
    rows: the first piece of each window, and the end, int64 `[windows + 1]`.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    rows: NDArray[np.int64]

    @property
    def num_windows(self) -> int:
        return len(self.rows) - 1


def best_fit_plan(document_ends: NDArray[np.int64], context: int) -> Plan:
    """Place documents, given by their ends `[documents]`, into windows of `context` tokens."""
    ends = np.asarray(document_ends)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if len(ends) else ends
    num_whole, rests = np.divmod(ends - starts, context)
    # Whole windows: the n-th of a document begins n contexts after it.
    first_of_document = np.cumsum(num_whole) - num_whole
    within = np.arange(int(num_whole.sum())) - np.repeat(first_of_document, num_whole)
    whole_starts = np.repeat(starts, num_whole) + within * context
    has_rest = rests > 0
    rest_starts = (starts + num_whole * context)[has_rest]
    rest_lengths = rests[has_rest].astype(np.int32)
    bins, num_bins = best_fit(rest_lengths, context)
    # Stable, so that the pieces of a window keep the order that they have in the corpus.
    order = np.argsort(bins, kind="stable")
    num_whole_windows = len(whole_starts)
    sizes = np.concatenate(
        [np.ones(num_whole_windows, np.int64), np.bincount(bins, minlength=num_bins)]
    )
    return Plan(
        starts=np.concatenate([whole_starts, rest_starts[order]]),
        lengths=np.concatenate(
            [np.full(num_whole_windows, context, np.int32), rest_lengths[order]]
        ),
        rows=np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]),
    )


def best_fit(lengths: NDArray[np.int32], capacity: int) -> tuple[NDArray[np.int64], int]:
    """Best-fit decreasing: the bin of each item `[items]`, and the number of bins.

    Items of one length and bins with the same room are handled together: of a bin with room `r` the
    next items of length `l` take `r // l` places, because it stays the fullest that has room. So
    the work is that of (lengths × rooms) pairs that meet, not of the items.
    """
    order = np.argsort(-lengths, kind="stable")
    bin_of = np.empty(len(lengths), dtype=np.int64)
    rooms = _Rooms(capacity)
    counts = np.bincount(lengths, minlength=capacity + 1)
    done = 0
    for length in range(capacity, 0, -1):
        left = int(counts[length])
        if not left:
            continue
        for room in [*rooms.from_(length), capacity]:
            fit = room // length
            is_new = room == capacity
            bins = rooms.take(room, -(-left // fit), open_new=is_new)
            placed = min(left, len(bins) * fit)
            bin_of[order[done : done + placed]] = np.repeat(bins, fit)[:placed]
            done += placed
            left -= placed
            num_full, in_last = divmod(placed, fit)
            rooms.put(room - fit * length, bins[:num_full])
            rooms.put(room - in_last * length, bins[num_full:])
            if not left:
                break
    return bin_of, rooms.num_bins


class _Rooms:
    """Bins by the room that is left in them."""

    def __init__(self, capacity: int):
        self.counts = np.zeros(capacity + 1, dtype=np.int64)
        self.num_bins = 0
        self._bins: list[list[NDArray[np.int64]]] = [[] for _ in range(capacity + 1)]

    def from_(self, length: int) -> list[int]:
        """Rooms of at least `length` that some bin has, smallest first."""
        rooms: list[int] = (np.flatnonzero(self.counts[length:]) + length).tolist()
        return rooms

    def take(self, room: int, wanted: int, *, open_new: bool) -> NDArray[np.int64]:
        """At most `wanted` bins with this room; where `open_new`, the rest are new ones."""
        if open_new:
            bins = np.arange(self.num_bins, self.num_bins + wanted)
            self.num_bins += wanted
            return bins
        taken: list[NDArray[np.int64]] = []
        while wanted and self._bins[room]:
            part = self._bins[room].pop()
            if len(part) > wanted:
                self._bins[room].append(part[wanted:])
                part = part[:wanted]
            taken.append(part)
            wanted -= len(part)
            self.counts[room] -= len(part)
        return np.concatenate(taken)

    def put(self, room: int, bins: NDArray[np.int64]) -> None:
        """Give bins back with the room that is left in them; full ones are forgotten."""
        if room and len(bins):
            self._bins[room].append(bins)
            self.counts[room] += len(bins)


def stored_plan(tokens: TokenFile, context: int) -> Plan:
    """The plan of a token folder, made once and kept in it, memory-mapped.

    Processes that ask together wait for the first one.

    Raises:
        InputError: the stored plan is damaged.
    """
    folder = tokens.folder / f"best-fit-{context}-{tokens.fingerprint[:16]}"
    if not folder.is_dir():
        with FileLock(tokens.folder / ".lock"):
            # Another process may have made it while this one waited.
            if not folder.is_dir():
                _store(best_fit_plan(tokens.document_ends(), context), folder)
    try:
        starts, lengths, rows = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in Plan.__annotations__
        )
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"no readable plan ({error})", where=folder, mend="delete it") from error
    if not (int(rows[-1]) == len(starts) == len(lengths) and lengths.sum() == tokens.num_tokens):
        raise InputError("does not fit the tokens beside it", where=folder, mend="delete it")
    return Plan(starts, lengths, rows)


def _store(plan: Plan, folder: Path) -> None:
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    partial.mkdir(exist_ok=True)
    try:
        for name in Plan.__annotations__:
            np.save(partial / f"{name}.npy", getattr(plan, name))
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def document_mask(documents: torch.Tensor) -> torch.Tensor:
    """Who may look at whom: bool `[rows, 1, context, context]`, true for the same document's past.

    `documents` is `[rows, context]`, the number of each position's document in its row. Give the
    result to a transformers model with SDPA as `attention_mask`, with the positions in the
    documents as `position_ids` and `use_cache=False`.
    """
    same = documents[:, :, None] == documents[:, None, :]
    return same.tril().unsqueeze(1)
