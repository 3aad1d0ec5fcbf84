"""Vectors of tokens from the company they keep: what `focus` compares tokens by.

Counts of neighbors within a window, each weighed by its distance, become positive pointwise mutual
information with a smoothed context distribution, and that a matrix of low rank (Levy, Goldberg and
Dagan 2015, Improving Distributional Similarity; the factorization that skip-gram approaches).
FOCUS itself trains fastText, whose package is archived.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dilmac.core import Steps
from dilmac.tokenizer import Tokenizer

WINDOW = 5  # tokens to each side
SMOOTHING = 0.75  # of the context distribution
DIMENSIONS = 200
ROUNDS = 4  # of the power iteration: past it the vectors hardly change
CHUNK_TOKENS = 1_000_000

Counts = NDArray[np.int64]


def token_vectors(
    tokenizer: Tokenizer, texts: Iterable[str], num_rows: int, *, max_tokens: int, seed: int
) -> tuple[torch.Tensor, Counts]:
    """Unit vectors [rows, dimensions], zero for tokens without company; and tokens' counts."""
    counts = np.zeros(num_rows, np.int64)
    pairs = torch.zeros(0, dtype=torch.long)
    weights = torch.zeros(0)
    with Steps("vectors", unit="tokens") as progress:
        for ids in _chunks(tokenizer, texts, max_tokens):
            counts += np.bincount(ids, minlength=num_rows)
            new_pairs, new_weights = _neighbors(ids, num_rows)
            pairs, weights = _merged(
                torch.cat([pairs, new_pairs]), torch.cat([weights, new_weights])
            )
            progress.advance(len(ids))
    return _factored(pairs, weights, num_rows, seed), counts


def _chunks(
    tokenizer: Tokenizer, texts: Iterable[str], max_tokens: int
) -> Iterator[NDArray[np.int64]]:
    held: list[NDArray[np.int64]] = []
    size = total = 0
    for array in tokenizer.encode_arrays(texts):
        held.append(array.astype(np.int64)[: max_tokens - total])
        size += len(held[-1])
        total += len(held[-1])
        if size >= CHUNK_TOKENS or total >= max_tokens:
            yield np.concatenate(held)
            held, size = [], 0
        if total >= max_tokens:
            return
    if held:
        yield np.concatenate(held)


def _neighbors(ids: NDArray[np.int64], num_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of neighbors (as row · rows + column) and their weights 1 / distance, both ways."""
    line = torch.from_numpy(ids)
    pairs, weights = [], []
    for distance in range(1, WINDOW + 1):
        left, right = line[:-distance], line[distance:]
        pairs += [left * num_rows + right, right * num_rows + left]
        weights += [torch.full((2 * len(left),), 1.0 / distance)]
    return _merged(torch.cat(pairs), torch.cat(weights))


def _merged(pairs: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    unique, places = pairs.unique(return_inverse=True)
    summed = torch.zeros(len(unique), dtype=torch.float64).index_add_(0, places, weights.double())
    return unique, summed.float()


def _factored(pairs: torch.Tensor, weights: torch.Tensor, num_rows: int, seed: int) -> torch.Tensor:
    rows, columns = pairs // num_rows, pairs % num_rows
    total = weights.double().sum()
    left = torch.zeros(num_rows, dtype=torch.float64).index_add_(0, rows, weights.double())
    smoothed = left.pow(SMOOTHING)
    expected = left[rows] * (smoothed / smoothed.sum())[columns]
    information = (weights.double() / expected).log().clamp(min=0).float()
    kept = information > 0
    matrix = torch.sparse_coo_tensor(
        torch.stack([rows[kept], columns[kept]]),
        information[kept],
        (num_rows, num_rows),
        check_invariants=True,
    ).coalesce()
    if not len(matrix.values()) or not total:
        return torch.zeros(num_rows, DIMENSIONS)
    torch.manual_seed(seed)  # the factorization starts at random
    size = min(DIMENSIONS, num_rows)
    found, strengths, _ = torch.svd_lowrank(matrix, q=size, niter=ROUNDS)
    # Half of the strength: the symmetric split of Levy and Goldberg.
    return torch.nn.functional.normalize(found * strengths.sqrt(), dim=1)
