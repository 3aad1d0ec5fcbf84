"""User-defined tokens: strings that are one token wherever they stand in a text."""

from __future__ import annotations

from dilmac.core import ConfigError
from dilmac.tokenizer.config import TokenizerConfig
from dilmac.tokenizer.encode import require_characters
from dilmac.tokenizer.entities import ENTITY_SETS
from dilmac.tokenizer.special import CONTROL_TOKENS, SPACE_MARK


def user_tokens(config: TokenizerConfig) -> tuple[str, ...]:
    """The tokens that are asked for: one by one, then the named set's.

    Raises:
        ConfigError: one is empty, is a single character, holds a space, stands twice, or shares
            text with a control token or with another one, so that runtimes would read it in
            different ways.
    """
    named = ENTITY_SETS[config.entities].tokens if config.entities else ()
    tokens = config.user_tokens + named
    for place, token in enumerate(tokens):
        require_characters(token)
        if fault := _fault(token, tokens[:place]):
            raise ConfigError(f"{token!r} {fault}", where="--user-tokens", mend="leave it out")
    return tokens


def _fault(token: str, before: tuple[str, ...]) -> str:
    if not token.strip():
        return "is empty"
    if len(token) == 1:
        return "is a single character"
    if any(mark.isspace() or mark == SPACE_MARK for mark in token):
        return "holds a space"
    if token.startswith("<0x"):
        return "looks like a byte token"
    if token in before:
        return "stands twice"
    for other in (*CONTROL_TOKENS, *before):
        if token in other or other in token or overlap(token, other) or overlap(other, token):
            return f"shares text with {other!r}"
    return ""


def overlap(first: str, second: str) -> bool:
    """Whether the end of `first` is the beginning of `second`: a text can hold both at once."""
    longest = min(len(first), len(second)) - 1
    return any(first.endswith(second[:length]) for length in range(1, longest + 1))
