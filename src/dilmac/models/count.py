"""Counts as people write them: of parameters, of tokens."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from dilmac.core import ConfigError

SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_COUNT = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e[0-9]{1,2})?)\s*([kmbt]?)", re.IGNORECASE)


def parse_count(value: str | int | float, *, where: str = "--tokens") -> int:
    """`2B`, `1.5M`, `300k`, `2e9`, `2_000_000` or a number: how many that is, exactly.

    `where` is the flag that an error names.

    Raises:
        ConfigError: it is no whole number of at least 1.
    """
    mend = "write 2B, 1.5M, 300k or 2000000 (a point for decimals)"
    match = _COUNT.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
    if not match:
        raise ConfigError(f"no number, found {value!r}", where=where, mend=mend)
    try:
        count = Decimal(match[1].replace("_", "")) * SCALES[match[2].lower()]
    except InvalidOperation as error:
        raise ConfigError(f"no number, found {value!r}", where=where, mend=mend) from error
    if count != count.to_integral_value() or count < 1:
        raise ConfigError(
            f"must be a whole number of at least 1, found {value!r}", where=where, mend=mend
        )
    return int(count)
