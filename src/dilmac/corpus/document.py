"""A text on its way through the steps, and what becomes of one that does not come through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# The longest novels have three million. A worker's memory for one is about 60 bytes a character.
MAX_DOCUMENT_CHARS = 4 << 20
UNKNOWN_LICENSE = "unknown"  # of a document whose record names none


@dataclass(slots=True)
class Document:
    """A text and where it came from.

    `ascii_only` marks Turkish written without its letters; `fault` is the quality rule that it
    breaks ("" for none), and `position` in [0, 100) the hash of its words; both are None until they
    were measured. The text of a page is HTML until a worker takes its main text (`read/web.py`).
    """

    id: str
    text: str
    source: str
    ascii_only: bool = False
    fault: str | None = None
    position: float | None = None
    is_page: bool = False
    license: str = UNKNOWN_LICENSE  # as its record names it


@dataclass(slots=True)
class Reject:
    """What was not kept, and why. `text` is what was found, as far as it could be decoded."""

    id: str
    text: str
    source: str
    reason: str
    details: dict[str, Any] = field(default_factory=dict)  # the kept one's id of a duplicate
