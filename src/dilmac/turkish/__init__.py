"""The language itself: casing, normalization, apostrophes, numbers. No models, no files."""

from dilmac.turkish.apostrophes import is_suffix, normalize_apostrophes, split_suffix
from dilmac.turkish.casing import capitalize, lower, upper
from dilmac.turkish.folding import fold, is_ascii_turkish, unfold
from dilmac.turkish.normalization import nfc
from dilmac.turkish.numbers import (
    Number,
    find_numbers,
    format_number,
    parse_number,
    spell_number,
    with_suffix,
)

__all__ = [
    "Number",
    "capitalize",
    "find_numbers",
    "fold",
    "format_number",
    "is_ascii_turkish",
    "is_suffix",
    "lower",
    "nfc",
    "normalize_apostrophes",
    "parse_number",
    "spell_number",
    "split_suffix",
    "unfold",
    "upper",
    "with_suffix",
]
