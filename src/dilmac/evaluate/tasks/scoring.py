"""How a generated answer is compared with the right ones, in Turkish.

Exact match and F1 are SQuAD's (Rajpurkar et al. 2016) with another normalization: "İSTANBUL'da" and
"İstanbul" are the same answer, "ılık" and "ilik" are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from dilmac.turkish import (
    find_numbers,
    format_number,
    lower,
    nfc,
    parse_number,
    spell_number,
    split_suffix,
)

_QUOTES = "\"'’‘“”«»`´"
_MARKS = _QUOTES + ".,;:!?…()[]{}–—-·•*"
_NUMBER_WORDS = frozenset(
    spell_number(number) for number in (*range(10), *range(10, 100, 10), 100, 1000)
)


def normalized_words(text: str) -> list[str]:
    """Words in small letters, without punctuation around them, without suffixes after an
    apostrophe, and numbers as digits without points ("1.234'ü" is "1234")."""
    words = []
    for raw in nfc(text).split():
        word = raw.strip(_MARKS)
        if parted := split_suffix(word):
            word = parted[0].strip(_MARKS)
        number = parse_number(word)
        if number is not None:
            percent = "%" if number.kind == "percent" else ""
            word = percent + format_number(number.value).replace(".", "")
        if word:
            words.append(lower(word))
    return words


def exact_match(said: str, answers: Sequence[str]) -> float:
    """1 where the words are those of one of the answers."""
    return float(any(normalized_words(said) == normalized_words(answer) for answer in answers))


def f1(said: str, answers: Sequence[str]) -> float:
    """Harmonic mean of precision and recall in words, against the nearest answer."""
    return max(_f1(normalized_words(said), normalized_words(answer)) for answer in answers)


def _f1(said: list[str], answer: list[str]) -> float:
    shared = sum((Counter(said) & Counter(answer)).values())
    if not shared:
        return float(said == answer)  # two empty ones are the same
    return 2 * shared / (len(said) + len(answer))


def number_match(said: str, answers: Sequence[str]) -> float:
    """1 where the first number in digits is the right one; of an answer without digits, where it
    begins with the right one in words."""
    right = int(answers[0])
    numbers = find_numbers(said)
    if numbers:
        return float(numbers[0].value == right)
    spelled = takewhile(_NUMBER_WORDS.__contains__, normalized_words(said))
    return float(list(spelled) == spell_number(right).split())


def _answer_scores(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    said, answers = results[0], document["answers"]
    return {"exact_match": exact_match(said, answers), "f1": f1(said, answers)}


def _number_scores(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    return {"exact_match": number_match(results[0], document["answers"])}


# lm-eval's `process_results` by the kind of a task; it scores choices itself.
SCORES: dict[str, Callable[[Mapping[str, Any], Sequence[str]], dict[str, float]]] = {
    "answer": _answer_scores,
    "arithmetic": _number_scores,
}
