"""The same bytes under two tokenizers: where their tokens begin and end together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dilmac.tokenizer.adapter.side import Side

Widths = NDArray[np.int64]  # bytes of each token, [tokens]
Span = tuple[int, int]  # from the first to before the last


class Chunk(NamedTuple):
    """The fewest tokens of both sides that cover the same bytes."""

    source: Span  # places in `source_ids`
    target: Span  # places in `target_ids`
    bytes: Span  # places in the text's UTF-8


@dataclass(frozen=True)
class Alignment:
    """A text as both tokenizers read it.

    `source_edges` and `target_edges` say of each token whether it starts and whether it ends where
    a token of the other side does, [tokens, 2].
    """

    text: str
    source_ids: list[int]
    target_ids: list[int]
    chunks: list[Chunk]
    source_edges: NDArray[np.bool_]
    target_edges: NDArray[np.bool_]


def align(source: Side, target: Side, text: str) -> Alignment:
    """Align a text that both sides keep as it is."""
    source_ids, target_ids = source.encode(text), target.encode(text)
    source_widths, target_widths = _widths(source, source_ids), _widths(target, target_ids)
    return Alignment(
        text,
        source_ids,
        target_ids,
        shared_chunks(source_widths, target_widths),
        source_edges=_edges(source_widths, target_widths),
        target_edges=_edges(target_widths, source_widths),
    )


def _widths(side: Side, ids: list[int]) -> Widths:
    return np.array([len(piece) for piece in side.pieces(ids)], dtype=np.int64)


def shared_chunks(source: Widths, target: Widths) -> list[Chunk]:
    """Chunks of two token lists over the same bytes, by the width of each token [bytes]."""
    ends = np.cumsum(source), np.cumsum(target)
    shared = np.intersect1d(*ends)
    shared = shared[shared > 0]  # a dummy space has no width: it belongs to the first chunk
    stops = (np.searchsorted(side, shared, side="right") for side in ends)
    return [Chunk(*spans) for spans in zip(*map(_spans, (*stops, shared)), strict=True)]


def _edges(own: Widths, other: Widths) -> NDArray[np.bool_]:
    ends = np.cumsum(own)
    borders = np.append(0, np.cumsum(other))
    return np.stack([np.isin(ends - own, borders), np.isin(ends, borders)], axis=1)


def _spans(stops: NDArray[np.int64]) -> list[Span]:
    return list(pairwise([0, *stops.tolist()]))
