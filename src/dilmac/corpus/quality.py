"""A few quality rules, each with the reason it returns.

Sources: Gopher (Rae et al. 2021, arXiv 2112.11446, table A1) for the rules; FineWeb-2
(configs/tur_Latn.yml) for the thresholds that are the defaults of `CorpusConfig`.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from dilmac.corpus.config import CorpusConfig
from dilmac.turkish import lower

STOP_WORDS = frozenset(
    (  # noqa: SIM905 (words are read better as a line than as a list)
        "ve bir olarak bu ile için olan da de tarafından yılında sonra en daha ilk "  # FineWeb-2's
        "çok ne o ama gibi kadar her değil var ya ki mi mı"
    ).split()
)
# ASCII-only Turkish is Turkish too.
_ASCII = str.maketrans("çğıöşü", "cgiosu")
_STOP_WORDS = STOP_WORDS | {word.translate(_ASCII) for word in STOP_WORDS}

STOP_WORDS_FROM_WORDS = 50  # a shorter text may do without


def quality_fault(text: str, config: CorpusConfig) -> str | None:
    """Reason to reject a text, or None."""
    words = text.split()
    if len(words) < config.min_words:
        return "too_short"
    with_letter = sum(any(map(str.isalpha, word)) for word in words)
    if with_letter / len(words) < config.min_letter_word_share:
        return "not_words"
    mean_length = sum(map(len, words)) / len(words)
    if not config.min_mean_word_length <= mean_length <= config.max_mean_word_length:
        return "word_length"
    if repeated_line_share(text) > config.max_repeated_line_share:
        return "repeated_lines"
    if top_bigram_share(words) > config.max_top_bigram_share:
        return "repeated_words"
    if len(words) >= STOP_WORDS_FROM_WORDS and config.language == "tr":
        stop_words = {lower(word) for word in words} & _STOP_WORDS
        if len(stop_words) < config.min_stop_words:
            return "no_stop_words"
    return None


def repeated_line_share(text: str) -> float:
    """Share of the lines and sentences that stood before in the same text [0-1]."""
    parts = [part.strip() for part in text.replace(". ", ".\n").split("\n") if part.strip()]
    return 1 - len(set(parts)) / len(parts) if parts else 0.0


def top_bigram_share(words: list[str]) -> float:
    """Share of the text's characters inside its most frequent word pair [0-1]."""
    pairs = Counter(pairwise(words))
    if not pairs:
        return 0.0
    pair, count = pairs.most_common(1)[0]
    if count == 1:
        return 0.0
    share = count * sum(map(len, pair)) / max(1, sum(map(len, words)))
    return min(1.0, share)  # a pair of the same word overlaps itself
