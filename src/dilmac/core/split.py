"""Train, validation and test by a hash: a document stays on its side in every run and every tool.

The side follows from the id alone, so a file that is shuffled, cut or joined with another splits
as before, and anybody can repeat the split with `hashlib`.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Part = Literal["train", "validation", "test"]

VALIDATION_FROM, TEST_FROM = 80.0, 90.0  # 80 % train, 10 % validation, 10 % test


def place_of(key: str) -> float:
    """Where the SHA-256 of a text puts it, evenly between 0 and 100 (100 excluded) [percent].

    The first 53 bits count: the most that a float holds exactly.
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8]) >> 11) / 2**53 * 100


def part_of(key: str) -> Part:
    """The part that a document of this id belongs to: 80 % train, 10 % validation, 10 % test."""
    place = place_of(key)
    if place >= TEST_FROM:
        return "test"
    return "validation" if place >= VALIDATION_FROM else "train"
