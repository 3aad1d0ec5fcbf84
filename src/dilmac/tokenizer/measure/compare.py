"""What tokenizers make of the same texts: length, use of the vocabulary, losses, speed and cost."""

from __future__ import annotations

from dilmac.core import Figures, InputError, Steps, require_writable
from dilmac.tokenizer.encode import require_characters
from dilmac.tokenizer.measure.config import CompareConfig
from dilmac.tokenizer.measure.cost import context_gained, cost
from dilmac.tokenizer.measure.figures import (
    Extent,
    Tally,
    lengths,
    mean,
    ratio,
    saved_percent,
    speed,
)
from dilmac.tokenizer.measure.page import write_page
from dilmac.tokenizer.measure.peers import Peer, open_peer
from dilmac.tokenizer.measure.read import pair_batches, text_batches

SPEED_CHARACTERS = 1_000_000  # of text, from its beginning, to measure speed on
AVERAGED = ("tokens_per_word", "bytes_per_token", "characters_per_token", "saved_percent")


def compare_tokenizers(config: CompareConfig) -> Figures:
    """Measure every tokenizer on the same texts (NFC); the first is the baseline of what is saved.

    Words are what white space divides. A round trip is exact when decoding gives the text back.
    All figures but those under `speed` repeat exactly. Each list in them has one row a tokenizer.

    Raises:
        InputError: a text or a tokenizer cannot be read, or there is no text.
        ConfigError: a tiktoken file's split pattern is unknown, or the page cannot be written.
    """
    if config.html is not None:
        require_writable(config.html)
    for sentence in config.sentence:
        require_characters(sentence)
    peers = [open_peer(name, config.tiktoken_split) for name in config.tokenizer]
    tallies = [Tally(peer) for peer in peers]
    extents: dict[str, Extent] = {}  # of each group
    sample: list[str] = []
    with Steps("compare", unit="texts") as steps:
        for groups, texts in text_batches(config):
            for group, text in zip(groups, texts, strict=True):
                extents.setdefault(group, Extent()).add(text)
            for tally in tallies:
                tally.add(groups, texts)
            if sum(map(len, sample)) < SPEED_CHARACTERS:
                sample += texts
            steps.advance(len(texts))
    whole = sum(extents.values(), Extent())
    if not whole.characters:
        raise InputError(
            "no text to measure", where=config.inputs[0], mend="raise --max-text-bytes"
        )
    tokens = [tally.tokens.total() for tally in tallies]
    by_group = {
        group: _named(peers, _lengths([tally.tokens[group] for tally in tallies], extent))
        for group, extent in extents.items()
        if extent.characters
    }
    figures = {
        **vars(whole),
        "tokenizers": _named(peers, _totals(tallies, whole, list(by_group.values()))),
        "groups": by_group,
        "context": _named(peers, context_gained(config, whole, tokens)),
        "cost": _named(peers, cost(config, whole, tokens)),
        "parallel": _named(peers, _premiums(config, peers)),
        "lost": [{"tokenizer": tally.peer.name, **tally.lost} for tally in tallies if tally.lost],
        "speed": _named(peers, [speed(peer, sample) for peer in peers]),
    }
    if config.html is not None:
        write_page(config.html, config, figures, peers)
    return figures


def _named(peers: list[Peer], rows: list[Figures]) -> list[Figures]:
    """Rows with their tokenizer's name; no rows where nothing was asked for."""
    return [{"tokenizer": peer.name, **row} for peer, row in zip(peers, rows, strict=False)]


def _lengths(tokens: list[int], extent: Extent) -> list[Figures]:
    return [
        {**lengths(count, extent), "saved_percent": saved_percent(count, tokens[0])}
        for count in tokens
    ]


def _totals(tallies: list[Tally], whole: Extent, groups: list[list[Figures]]) -> list[Figures]:
    """Figures of the whole text; `macro_…` is the mean over groups, large or small."""
    baseline = tallies[0].tokens.total()
    return [
        {
            **tally.figures(whole),
            "saved_percent": saved_percent(tally.tokens.total(), baseline),
            **{f"macro_{name}": mean(rows[place][name] for rows in groups) for name in AVERAGED},
        }
        for place, tally in enumerate(tallies)
    ]


def _premiums(config: CompareConfig, peers: list[Peer]) -> list[Figures]:
    """Tokens of the same sentences in both languages (Petrov et al. 2023: the premium is 1 for the
    same length); empty if there are none."""
    counts = [[0, 0] for _ in peers]
    for sides in pair_batches(config):
        for count, peer in zip(counts, peers, strict=True):
            for side, texts in enumerate(sides):
                count[side] += sum(map(len, peer.encode_many(texts)))
    if config.parallel is None:
        return []
    if not all(counts[0]):
        raise InputError("holds no pair of sentences", where=config.parallel)
    return [
        {
            "turkish_tokens": turkish,
            "english_tokens": english,
            "turkish_premium": round(ratio(turkish, english), 4),
            "turkish_saved_percent": saved_percent(turkish, counts[0][0]),
            "english_saved_percent": saved_percent(english, counts[0][1]),
        }
        for turkish, english in counts
    ]
