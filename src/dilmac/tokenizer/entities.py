"""Phrases of a field as one token each, and back: text → text with entity tokens → the same text.

A tokenizer trained with `--entities education` has `<BEGINNER>` and its siblings as pieces;
`EDUCATION.mark` writes them where their phrases stand. Only the phrase as it is written here is
replaced, at the beginning of a word (`ileri seviyede` becomes `<ADVANCED>de`), so each token stands
for one string: `İleri seviye` stays as it is, and everything comes back exactly. A text that holds
`<ADVANCED>` itself gets a backslash in it (`<\\ADVANCED>`), which `unmark` takes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dilmac.core import ConfigError


@dataclass(frozen=True)
class EntitySet:
    """Names of entity tokens, each with the one phrase that it stands for."""

    phrases: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse what could not come back.

        Raises:
            ConfigError: no phrase, an empty one, the same one twice, or a name that is no word.
        """
        names, phrases = list(self.phrases), list(self.phrases.values())
        if not names or not all(phrases) or len(set(phrases)) < len(phrases):
            raise ConfigError("every entity needs a phrase of its own", where="phrases")
        if odd := [name for name in names if not re.fullmatch(r"\w+", name)]:
            raise ConfigError(f"{odd[0]!r} is no word", where="phrases", mend="such as BEGINNER")

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens, to be given to the tokenizer's training as pieces of the user's."""
        return tuple(f"<{name}>" for name in self.phrases)

    def mark(self, text: str) -> str:
        """A text with entity tokens for its phrases, the longest first."""
        return self._unmarked.sub(self._marked, text)

    def unmark(self, text: str) -> str:
        """The text that `mark` was given."""
        return self._literal.sub(self._phrase, text)

    @cached_property
    def _names(self) -> dict[str, str]:
        return {phrase: name for name, phrase in self.phrases.items()}

    @cached_property
    def _literal(self) -> re.Pattern[str]:
        return re.compile(rf"<(?P<escape>\\*)(?P<name>{'|'.join(self.phrases)})>")

    @cached_property
    def _unmarked(self) -> re.Pattern[str]:
        longest_first = sorted(self._names, key=len, reverse=True)
        # No form of `proje` goes on with a k: `projeksiyon` and `projektör` are other words.
        phrases = "|".join(map(re.escape, longest_first))
        return re.compile(rf"(?<!\w)(?P<phrase>{phrases})(?!k)|{self._literal.pattern}")

    def _marked(self, found: re.Match[str]) -> str:
        if phrase := found["phrase"]:
            return f"<{self._names[phrase]}>"
        return f"<\\{found['escape']}{found['name']}>"

    def _phrase(self, found: re.Match[str]) -> str:
        if escape := found["escape"]:
            return f"<{escape[1:]}{found['name']}>"
        return self.phrases[found["name"]]


EDUCATION = EntitySet(
    {
        "STUDENT_LEVEL": "öğrenci seviyesi",
        "BEGINNER": "başlangıç seviyesi",
        "INTERMEDIATE": "orta seviye",
        "ADVANCED": "ileri seviye",
        "ASSESSMENT": "ölçme ve değerlendirme",
        "QUIZ": "kısa sınav",
        "EXAM": "sınav",
        "PROJECT": "proje",
    }
)
ENTITY_SETS: Mapping[str, EntitySet] = {"education": EDUCATION}
