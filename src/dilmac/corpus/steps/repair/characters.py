"""Characters that are not to be seen, and the many kinds of spaces and line ends."""

from __future__ import annotations

import re

from dilmac.corpus.steps.repair.suspects import CONTROLS, INVISIBLE, SPACES, has_unseen

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_CONTROLS = re.compile(f"[{CONTROLS}]")
_SPACES = re.compile(f"(?<! ) *[{SPACES}][ {SPACES}]*")
_HAIR_SPACE = re.compile("[\u2009\u200a](?=[.,;:!?])")
_JOINER = re.compile("[\u200c-\u200f]")
_BREAKS = re.compile("\r\n?|[\u0085\u2028\u2029]")
_TRAILING = re.compile(r"(?<![ \t])[ \t]++(?=\n|$)")
_MANY_BREAKS = re.compile(r"\n{3,}")
# Scripts whose spelling needs a joiner: Arabic, Hebrew, Syriac to Thaana, the Indic ones.
_JOINING_SCRIPTS = "\u0590-\u07bf\u0860-\u0dff\u1000-\u109f\u1780-\u17ff\ufb1d-\ufdff\ufe70-\ufefe"
_MEANT = re.compile(
    f"(?<=[{_JOINING_SCRIPTS}])[\u200c\u200d\u200e\u200f]|[\u200c-\u200f](?=[{_JOINING_SCRIPTS}])"
    "|(?<=[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2640-\u27bf\U0001f000-\U0001faff])"
)


def repair_characters(text: str) -> str:
    """Without invisible characters, but where a script or an emoji needs a joiner."""
    if not has_unseen(text):
        return text
    text = _BREAKS.sub("\n", text)
    if _JOINER.search(text) and _MEANT.search(text):
        text = _without_unmeant(text)
    else:
        text = _INVISIBLE.sub("", text)
    text = _CONTROLS.sub("", text)
    text = _HAIR_SPACE.sub("", text)
    return _SPACES.sub(" ", text)


def _without_unmeant(text: str) -> str:
    meant = {match.start() for match in _MEANT.finditer(text)}
    return _INVISIBLE.sub(lambda match: match[0] if match.start() in meant else "", text)


def unify_spaces(text: str) -> str:
    """No space at a line's end, one empty line at most, nothing around the text."""
    if " \n" in text or "\t\n" in text:
        text = _TRAILING.sub("", text)
    if "\n\n\n" in text:
        text = _MANY_BREAKS.sub("\n\n", text)
    return text.strip()
