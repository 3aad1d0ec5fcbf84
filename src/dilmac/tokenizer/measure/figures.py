"""What is counted while texts pass, and the figures that follow from the counts."""

from __future__ import annotations

import string
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from dilmac.core import Figures
from dilmac.tokenizer.measure.peers import Peer

RENYI_ORDER = 2.5  # Zouhar et al. 2023 ("Tokenization and the Noiseless Channel"): ranks best
SHOWN_CHARACTERS = 60  # of a text that did not come back
AROUND_WORDS = string.punctuation + "’‘“”«»…–—·•°"


@dataclass
class Extent:
    """How much text there was."""

    texts: int = 0
    words: int = 0
    characters: int = 0
    bytes: int = 0

    def add(self, text: str) -> None:
        """Count a text; words are what white space divides."""
        self.texts += 1
        self.words += len(text.split())
        self.characters += len(text)
        self.bytes += len(text.encode())

    def __add__(self, other: Extent) -> Extent:
        """How much there was of both."""
        mine, theirs = vars(self).values(), vars(other).values()
        return Extent(*(a + b for a, b in zip(mine, theirs, strict=True)))


@dataclass
class Tally:
    """What one tokenizer made of the texts, group by group."""

    peer: Peer
    tokens: Counter[str] = field(default_factory=Counter)  # of each group
    exact: int = 0  # texts that came back
    words: int = 0  # with a letter or a digit, without the marks around them
    whole_words: int = 0  # of these, one token
    lost: dict[str, str] | None = None  # the first text that did not come back

    def __post_init__(self) -> None:
        self.occurrences: NDArray[np.int64] = np.zeros(len(self.peer), dtype=np.int64)  # [rows]
        self.is_partial = np.array([_is_partial(token) for token in self.peer.tokens])  # [rows]

    def add(self, groups: list[str], texts: list[str]) -> None:
        """Encode a batch of texts, `groups[i]` being the group of `texts[i]`, and decode it."""
        encoded = self.peer.encode_many(texts)
        for group, text, ids in zip(groups, texts, encoded, strict=True):
            self.tokens[group] += len(ids)
            back = self.peer.decode(ids)
            self.exact += back == text
            if back != text and self.lost is None:
                self.lost = _difference(text, back)
        every = np.fromiter(chain.from_iterable(encoded), dtype=np.int64)
        self.occurrences += np.bincount(every, minlength=len(self.peer))
        self._count_whole_words(texts)

    def _count_whole_words(self, texts: list[str]) -> None:
        words = Counter(
            bare for text in texts for word in text.split() if (bare := word.strip(AROUND_WORDS))
        )
        self.words += words.total()
        for form in (" {}", "{}"):  # after a space; some tokenizers put that space there themselves
            encoded = self.peer.encode_many([form.format(word) for word in words])
            for word, ids in zip(list(words), encoded, strict=True):
                if len(ids) == 1:
                    self.whole_words += words.pop(word)

    def figures(self, extent: Extent) -> Figures:
        """Figures of the whole text."""
        num_tokens = self.tokens.total()
        peer = self.peer
        unknown = 0 if peer.unknown_row is None else int(self.occurrences[peer.unknown_row])
        partial = int(self.occurrences[self.is_partial].sum())
        return {
            "vocab_size": len(peer),
            **lengths(num_tokens, extent),
            "renyi_efficiency": round(renyi_efficiency(self.occurrences), 4),
            "unknown_percent": percent(unknown, num_tokens),
            "byte_token_percent": percent(partial, num_tokens),
            "whole_word_percent": percent(self.whole_words, self.words),
            "round_trip_percent": percent(self.exact, extent.texts),
        }


def lengths(num_tokens: int, extent: Extent) -> Figures:
    """How long a text of that extent is in tokens."""
    return {
        "tokens": num_tokens,
        "tokens_per_word": round(ratio(num_tokens, extent.words), 4),
        "bytes_per_token": round(ratio(extent.bytes, num_tokens), 4),
        "characters_per_token": round(ratio(extent.characters, num_tokens), 4),
    }


def renyi_efficiency(occurrences: NDArray[np.int64], order: float = RENYI_ORDER) -> float:
    """Rényi entropy of how often each row occurs, over its largest value, log of the rows.

    One if all rows are used alike (Zouhar et al. 2023); zero for an empty text.
    """
    used = occurrences[occurrences > 0]
    if len(used) == 0 or len(occurrences) == 1:
        return 0.0
    shares = used / used.sum()
    entropy = np.log((shares**order).sum()) / (1 - order)
    return float(entropy / np.log(len(occurrences)))


def ratio(count: float, of: float) -> float:
    """`count / of`; zero where there is nothing."""
    return count / of if of else 0.0


def percent(count: float, of: float) -> float:
    """Percent of `of`, with four decimals: a lossy text in a million must show."""
    return round(100 * ratio(count, of), 4)


def saved_percent(tokens: int, baseline: int) -> float:
    """Percent of the baseline's tokens that are saved."""
    return round(100 * (1 - tokens / baseline), 2) if baseline else 0.0


def mean(values: Iterable[float]) -> float:
    """Mean, with four decimals."""
    listed = list(values)
    return round(sum(listed) / len(listed), 4)


def speed(peer: Peer, texts: list[str]) -> Figures:
    """Megabytes of text encoded in a second: in bulk on all cores, and one by one on one thread."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    peer.encode_many(texts[:1])  # so that what is loaded at first use is not counted
    start = time.perf_counter()
    peer.encode_many(texts)
    in_bulk = time.perf_counter()
    for text in texts:
        peer.encode(text)
    end = time.perf_counter()
    return {
        "mb_per_second": round(megabytes / (in_bulk - start), 2),
        "mb_per_second_one_thread": round(megabytes / (end - in_bulk), 2),
    }


def _is_partial(token: bytes | str) -> bool:
    """Whether it is a part of a character: a line break in a byte token is a whole one."""
    return isinstance(token, bytes) and "\ufffd" in token.decode(errors="replace")


def _difference(text: str, back: str) -> dict[str, str]:
    """Both from just before the place where they part."""
    place = next(
        (place for place, (a, b) in enumerate(zip(text, back, strict=False)) if a != b),
        min(len(text), len(back)),
    )
    shown = slice(max(0, place - 10), place + SHOWN_CHARACTERS)
    return {"text": text[shown], "came_back": back[shown]}
