"""What users type, typed as some of them type it: without Turkish letters, in one case, misspelled.

Only the user's turns change, and only in training: answers stay as they should be. What is no plain
word (addresses, code, numbers) stays, too. Which turns change follows from the seed and their text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dilmac.tokenizer import Message
from dilmac.training.data.examples import Conversation
from dilmac.turkish import fold, lower, upper

Vary = Callable[[str, random.Random], str]

MISSPELLED_SHARE = 0.1  # of the words of a turn; one at least
UPPER_SHARE = 0.25  # of the turns whose case changes; the others are all small letters

_CODE = "```"
# A word that stands alone, as `unfold` takes it: not a part of an address, a path, an identifier.
_WORD = re.compile(r"(?<![\w@#/\\.&=~-])[^\W\d_]+(?![\w@/\\=~-]|[.:&#?]\w|:/)")
# The particles that are most often written together with the word before them.
_PARTICLE = re.compile(r"(?<=[^\W\d_]) (?=(?:m[ıiuü]|m[ıiuü]s[ıiuü]n(?:[ıiuü]z)?|de|da|ki)\b)")
_KEY_ROWS = ("qwertyuıopğü", "asdfghjklşi", "zxcvbnmöç")  # of a Turkish Q keyboard
_BESIDE = {
    key: row[max(0, place - 1) : place] + row[place + 1 : place + 2]
    for row in _KEY_ROWS
    for place, key in enumerate(row)
}
_SHORTEST_MISSPELLED = 4  # letters


@dataclass(frozen=True)
class Variations:
    """Shares of the user's turns that are changed in each way [0-1]."""

    ascii: float = 0.0
    casing: float = 0.0
    spelling: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.ascii or self.casing or self.spelling)


def vary_questions(
    examples: Iterable[Conversation], shares: Variations, seed: int
) -> tuple[list[Conversation], int]:
    """The examples with some of the user's turns changed, and how many turns were."""
    varied, num_changed = [], 0
    for example in examples:
        turns = [_varied(turn, shares, seed) for turn in example.messages]
        num_changed += sum(new != old for new, old in zip(turns, example.messages, strict=True))
        varied.append(replace(example, messages=tuple(turns)))
    return varied, num_changed


def _varied(turn: Message, shares: Variations, seed: int) -> Message:
    if turn.role != "user" or _CODE in turn.content:
        return turn
    chance = random.Random(f"{seed} {turn.content}")
    ways: Sequence[tuple[float, Vary]] = (
        (shares.spelling, misspell),  # first: it knows Turkish letters
        (shares.casing, recase),
        (shares.ascii, without_marks),
    )
    text = turn.content
    for share, vary in ways:
        if chance.random() < share:
            text = vary(text, chance)
    return replace(turn, content=text)


def without_marks(text: str, _chance: random.Random) -> str:
    """Turkish letters as ASCII ones: "cok guzel"."""
    return _WORD.sub(lambda word: fold(word.group()), text)


def recase(text: str, chance: random.Random) -> str:
    """All small letters, or now and then all capitals, by the rules of Turkish."""
    change = upper if chance.random() < UPPER_SHARE else lower
    return _WORD.sub(lambda word: change(word.group()), text)


def misspell(text: str, chance: random.Random) -> str:
    """A tenth of the longer words mistyped, some particles (mi, de, ki) joined to their word."""
    text = _PARTICLE.sub(lambda _: "" if chance.random() < 0.5 else " ", text)
    words = [word for word in _WORD.finditer(text) if len(word.group()) >= _SHORTEST_MISSPELLED]
    if not words:
        return text
    wrong = chance.sample(words, max(1, round(MISSPELLED_SHARE * len(words))))
    for word in sorted(wrong, key=lambda found: -found.start()):
        text = text[: word.start()] + _slip(word.group(), chance) + text[word.end() :]
    return text


def _slip(word: str, chance: random.Random) -> str:
    """A word with two letters swapped, one lost, one doubled, or its neighbor on the keyboard.

    The first letter stays, as it does in most slips.
    """
    place = chance.randrange(1, len(word) - 1)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    kind = chance.choice(("swap", "lose", "double", "beside"))
    if kind == "swap":
        return before + after[0] + letter + after[1:]
    if kind == "lose":
        return before + after
    if kind == "double":
        return before + letter * 2 + after
    return before + chance.choice(_BESIDE.get(lower(letter)) or letter) + after
