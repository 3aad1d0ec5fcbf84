"""Repair text: broken encodings, letters, markup leftovers, layout. Good text comes out unchanged.

Each file is one kind of repair; `suspects` tells by one look at the characters whether any is
needed at all, which on most documents spares all the others.
"""

from __future__ import annotations

from dilmac.corpus.steps.repair.characters import repair_characters, unify_spaces
from dilmac.corpus.steps.repair.encoding import repair_encoding
from dilmac.corpus.steps.repair.homoglyphs import repair_homoglyphs
from dilmac.corpus.steps.repair.layout import repair_layout
from dilmac.corpus.steps.repair.markup import strip_markup
from dilmac.corpus.steps.repair.suspects import has_suspects
from dilmac.turkish import nfc

__all__ = ["repair"]

MAX_ROUNDS = 4  # a repair can uncover the next fault (an entity behind a mojibake)


def repair(text: str) -> str:
    """The text as its author meant it; `repair(repair(t)) == repair(t)`."""
    for _ in range(MAX_ROUNDS):
        repaired = _repair_once(text)
        if repaired == text:
            break
        text = repaired
    return text


def _repair_once(text: str) -> str:
    if has_suspects(text):
        text = repair_encoding(text)
        text = strip_markup(text)
        text = nfc(text)
        text = repair_characters(text)
        text = repair_homoglyphs(text)
    else:
        text = nfc(text)
    return unify_spaces(repair_layout(text))
