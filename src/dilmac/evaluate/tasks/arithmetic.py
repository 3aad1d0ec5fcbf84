"""Questions of arithmetic, drawn from a seed and worded as Turkish asks them."""

from __future__ import annotations

import random
from collections.abc import Callable

from dilmac.turkish import capitalize, spell_number, with_suffix

Doc = dict[str, object]
NUM_QUESTIONS = 200  # where no limit is given

_WORDINGS: dict[str, tuple[Callable[[int, int], str], ...]] = {
    "toplama": (
        lambda a, b: f"{a} artı {b} kaç eder?",
        lambda a, b: f"{a} ile {with_suffix(b, '(n)In')} toplamı kaçtır?",
        lambda a, b: f"Ayşe'nin {a} elması var. {b} elma daha alırsa kaç elması olur?",
        lambda a, b: f"{capitalize(spell_number(a))} ile {spell_number(b)} toplanırsa kaç eder?",
    ),
    "çıkarma": (
        lambda a, b: f"{a} eksi {b} kaç eder?",
        lambda a, b: f"{with_suffix(a, 'DAn')} {b} çıkarsa kaç kalır?",
        lambda a, b: f"Rafta {a} kitap var. {b} kitap alınırsa rafta kaç kitap kalır?",
        lambda a, b: f"{capitalize(spell_number(a))} eksi {spell_number(b)} kaç eder?",
    ),
    "çarpma": (
        lambda a, b: f"{a} çarpı {b} kaç eder?",
        lambda a, b: f"{a} kere {b} kaçtır?",
        lambda a, b: f"Her kutuda {a} kalem var. {b} kutuda kaç kalem vardır?",
        lambda a, b: f"{capitalize(spell_number(a))} kere {spell_number(b)} kaç eder?",
    ),
    "bölme": (
        lambda a, b: f"{a} bölü {b} kaç eder?",
        lambda a, b: f"{a} sayısı {with_suffix(b, '(y)A')} bölünürse sonuç kaç olur?",
        lambda a, b: f"{a} ceviz {b} çocuğa eşit paylaştırılırsa her birine kaç ceviz düşer?",
    ),
}


def questions(count: int, seed: int) -> list[Doc]:
    """`count` questions, the operations in turn; the same seed gives the same ones."""
    chance = random.Random(seed)
    return [_question(place, chance) for place in range(count)]


def _question(place: int, chance: random.Random) -> Doc:
    operation = tuple(_WORDINGS)[place % len(_WORDINGS)]
    first, second, result = _numbers(operation, chance)
    wording = chance.choice(_WORDINGS[operation])
    return {
        "id": f"arithmetic-{place}",
        "question": wording(first, second),
        "answers": [str(result)],
        "group": operation,
    }


def _numbers(operation: str, chance: random.Random) -> tuple[int, int, int]:
    if operation == "toplama":
        first, second = chance.randint(2, 60), chance.randint(2, 39)
        return first, second, first + second
    if operation == "çıkarma":
        second, rest = chance.randint(2, 39), chance.randint(2, 60)
        return second + rest, second, rest
    first, second = chance.randint(2, 12), chance.randint(2, 9)
    product = first * second
    return (first, second, product) if operation == "çarpma" else (product, second, first)
