"""Sizes of memory and contexts as people write them."""

from __future__ import annotations

import re

from dilmac.core import ConfigError

UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)


def parse_bytes(value: str, *, where: str = "--memory") -> int:
    """`8GB` (10^9), `7.5GiB` (2^30), `900MB` or a number of bytes: how many bytes that is.

    Raises:
        ConfigError: it is no size.
    """
    match = _NUMBER.fullmatch(value.strip())
    unit = match[2].lower() if match else ""
    if match is None or unit not in UNITS or float(match[1]) * UNITS[unit] < 1:
        raise ConfigError(
            f"no size, found {value!r}", where=where, mend="write 8GB, 7.5GiB or 900MB"
        )
    return int(float(match[1]) * UNITS[unit])


def parse_context(value: str, *, where: str = "--context") -> int:
    """`8k` (8,192 tokens: contexts are counted in powers of two) or a number of tokens.

    Raises:
        ConfigError: it is no number of tokens.
    """
    match = _NUMBER.fullmatch(value.strip())
    unit = match[2].lower() if match else ""
    tokens = float(match[1]) * {"": 1, "k": 1024, "m": 1024**2}.get(unit, 0) if match else 0
    if tokens < 1 or tokens != int(tokens):
        raise ConfigError(
            f"no number of tokens, found {value!r}", where=where, mend="write 8k or 8192"
        )
    return int(tokens)


def gib(number: int | float) -> str:
    """Bytes to read: MiB below a tenth of a GiB."""
    if not number:
        return "0"
    if number < (1 << 30) / 10:
        return f"{number / (1 << 20):,.1f} MiB"
    return f"{number / (1 << 30):,.2f} GiB"
