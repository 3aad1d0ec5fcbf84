"""Text to learn a vocabulary from: every source with its weight, streamed, and no more than asked.

A corpus that is half law teaches a vocabulary of law. `balance` lets each source count as its bytes
to a power (1: as they are; 0: all alike), `max_weight` bounds what that makes of a thin one, and a
factor changes one source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from dilmac.core import ConfigError, read_documents
from dilmac.tokenizer.config import LearntTextConfig


@dataclass(frozen=True)
class WeighedText:
    """Sources of some corpora: UTF-8 bytes of each, and how often a byte of it counts."""

    corpora: tuple[Path, ...]
    sizes: Mapping[str, int]
    weights: Mapping[str, float]

    @property
    def num_bytes(self) -> int:
        """Bytes of the whole text."""
        return sum(self.sizes.values())

    def stream(self, max_bytes: int) -> Iterator[tuple[str, float]]:
        """Texts and how often each counts; about `max_bytes` of a larger text, drawn by hash."""
        counted = sum(self.sizes[name] * self.weights[name] for name in self.sizes)
        is_all = self.num_bytes <= max_bytes
        for source, text in _documents(self.corpora):
            weight = self.weights.get(source, 0.0)
            if not weight:
                continue
            share = 1.0 if is_all else min(1.0, weight * max_bytes / counted)
            if share >= 1 or xxhash.xxh3_64_intdigest(text) / 2**64 < share:
                yield text, weight / share


def weigh(config: LearntTextConfig) -> WeighedText:
    """Read the corpora once for the size of each source, and weigh them.

    Raises:
        InputError: a corpus has no train split.
        ConfigError: `source_weights` names a source that is not in it, or a negative factor.
    """
    corpora = (config.corpus, *config.more_corpora)
    sizes: Counter[str] = Counter()
    for source, text in _documents(corpora):
        sizes[source] += len(text.encode())
    for name, factor in config.source_weights.items():
        _require_source(name, factor, sizes)
    factors = {name: config.source_weights.get(name, 1.0) for name in sizes}
    highest = max(factors.values(), default=0.0) or 1.0
    factors = {name: factor / highest for name, factor in factors.items()}
    wanted = {name: size for name, size in sizes.items() if factors[name]}
    weights = weights_of(wanted, config.balance, config.max_weight)
    return WeighedText(corpora, wanted, {name: weights[name] * factors[name] for name in wanted})


def weights_of(sizes: Mapping[str, int], balance: float, max_weight: float) -> dict[str, float]:
    """How often a byte of each source counts; one of the largest source counts once.

    Each source as a whole counts as its bytes to the power `balance`, but no byte more than
    `max_weight` times.
    """
    largest = max(sizes.values(), default=0)
    return {
        name: min((largest / max(1, size)) ** (1 - balance), max_weight)
        for name, size in sizes.items()
    }


def _documents(corpora: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for corpus in corpora:
        for document in read_documents(corpus, "train"):
            yield str(document.get("source", "")), document["text"]


def _require_source(name: str, factor: float, sizes: Mapping[str, int]) -> None:
    if name not in sizes:
        known = ", ".join(sorted(sizes)[:8])
        raise ConfigError(
            f"no source {name!r} in the corpus", where="--source-weights", mend=f"one of {known}"
        )
    if not 0 <= factor < float("inf"):
        raise ConfigError(
            f"{factor} for {name!r} is no weight", where="--source-weights", mend="0 leaves it out"
        )
