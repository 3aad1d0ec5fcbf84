"""What tokens cost: a month and a year of a given traffic, and the text that a window holds."""

from __future__ import annotations

from dilmac.core import Figures
from dilmac.tokenizer.measure.config import CompareConfig
from dilmac.tokenizer.measure.figures import Extent, ratio

MONTHS = 12


def context_gained(config: CompareConfig, extent: Extent, tokens: list[int]) -> list[Figures]:
    """Words and characters of this text that fit into the window; `tokens[0]` is the baseline's."""
    return [
        {
            "context_words": round(config.context * ratio(extent.words, num_tokens)),
            "context_characters": round(config.context * ratio(extent.characters, num_tokens)),
            "context_gained_percent": round(100 * (ratio(tokens[0], num_tokens) - 1), 2)
            if num_tokens
            else 0.0,
        }
        for num_tokens in tokens
    ]


def cost(config: CompareConfig, extent: Extent, tokens: list[int]) -> list[Figures]:
    """Tokens and US dollars of the traffic, as long as the traffic is like this text.

    Empty if no traffic is given.
    """
    if config.requests_per_month is None or config.price_per_million_tokens is None:
        return []
    characters = config.characters_per_request or extent.characters / extent.texts
    total = config.requests_per_month * characters
    months = [total * ratio(num_tokens, extent.characters) for num_tokens in tokens]
    price = config.price_per_million_tokens / 1e6
    return [
        {
            "tokens_per_month": round(month),
            "usd_per_month": round(month * price, 2),
            "usd_per_year": round(month * price * MONTHS, 2),
            "usd_saved_per_year": round((months[0] - month) * price * MONTHS, 2),
        }
        for month in months
    ]
