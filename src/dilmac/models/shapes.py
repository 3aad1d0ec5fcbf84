"""One dial: a number of parameters becomes a shape.

Depth follows width as in published models, `layers = 8 sqrt(width / 256)`: 8 x 256 (our mini),
16 x 1024, 23 x 2048 (SmolLM2: 24), 32 x 4096 (Llama 7B: 32). SwiGLU is about 8/3 of the width
(Shazeer 2020, arXiv:2002.05202), heads have 64 dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dilmac.core import ConfigError
from dilmac.models.count import parse_count
from dilmac.models.presets import Preset, num_parameters

HEAD = 64
NARROWEST = 64
TIED_BELOW = 1_000_000_000  # SmolLM2, Qwen3 and Llama 3.2 tie at and below about this size
TOLERANCE = 0.02  # a shape within it is chosen for its proportions, not for its count
CONTEXTS = ((5_000_000, 256), (50_000_000, 512), (100_000_000, 1024))


def shape_for(params: str | int, vocab_size: int) -> Preset:
    """A sensible Llama shape of about `params` parameters, tables of the vocabulary included.

    Raises:
        ConfigError: `params` is no number, or too small for the vocabulary.
    """
    target = parse_count(params, where="--params")
    smallest = num_parameters(_shape(NARROWEST, 3 * NARROWEST, 1, is_tied=True), vocab_size)
    if target < smallest:
        raise ConfigError(
            f"{params} parameters cannot hold a vocabulary of {vocab_size:,} rows",
            where="--params",
            mend=f"at least {math.ceil(smallest / 10**4) / 100:.2f}M, or a smaller vocabulary",
        )
    shapes = _candidates(target, vocab_size)
    best = min(shapes, key=lambda shape: _badness(shape, target, vocab_size))
    context = next((tokens for below, tokens in CONTEXTS if target < below), 2048)
    return best.model_copy(update={"context": context})


def _shape(width: int, feed_forward: int, layers: int, *, is_tied: bool) -> Preset:
    heads = max(1, width // HEAD)
    return Preset(
        hidden_size=width,
        intermediate_size=feed_forward,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=HEAD,
        context=2048,
        tied=is_tied,
    )


def _candidates(target: int, vocab_size: int) -> Iterator[Preset]:
    is_tied = target < TIED_BELOW
    for width in _widths():
        step = 256 if width >= 256 else 64
        lowest = math.ceil(2 * width / step) * step
        for feed_forward in range(lowest, 4 * width + 1, step):
            one = num_parameters(_shape(width, feed_forward, 1, is_tied=is_tied), vocab_size)
            two = num_parameters(_shape(width, feed_forward, 2, is_tied=is_tied), vocab_size)
            layers = 1 + (target - one) / (two - one)
            if layers < 0.5:  # not even one layer fits
                continue
            for count in {max(1, math.floor(layers)), max(1, math.ceil(layers))}:
                yield _shape(width, feed_forward, count, is_tied=is_tied)


def _widths() -> Iterator[int]:
    yield from range(NARROWEST, 256, 16)
    yield from range(256, 1024, 64)
    yield from range(1024, 8193, 256)


def _badness(shape: Preset, target: int, vocab_size: int) -> tuple[float, float]:
    """First the count, until it is close enough; then the proportions."""
    error = abs(num_parameters(shape, vocab_size) / target - 1)
    width = shape.hidden_size
    depth = abs(math.log(shape.num_layers / (8 * math.sqrt(width / 256))))
    swiglu = abs(math.log(shape.intermediate_size / (width * 8 / 3)))
    # K-quants want rows of 256; below that, whole heads; below that, q8_0's blocks of 32.
    if width % 256 == 0:
        rows = 0.0
    elif width % HEAD == 0:
        rows = 0.7 if width > 256 else 0.1
    else:
        rows = 0.5 if width % 32 == 0 else 1.0
    return max(0.0, error - TOLERANCE), depth + swiglu + rows + 5 * error
