"""What stands twice in the data, and what of it would be measured after it was learned.

Equal means: the same in lower case by the rules of Turkish, in NFC, spaces and line ends alike.
Nearly equal is judged by the corpus' MinHash, over question and answer; a short answer has to be
the same, so that other questions on one passage are other examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dilmac.core import Figures, say
from dilmac.corpus import TextSketches, nearly_equal, sketch_texts
from dilmac.training.data.examples import Example, Reject
from dilmac.training.data.read import Kind
from dilmac.training.data.split import Split
from dilmac.turkish import lower, nfc

SHORT_ANSWER_WORDS = 10


@dataclass(frozen=True)
class Repeats:
    """How often things stand twice.

    duplicates: examples to train on whose question and answer are those of an earlier one.
    near_duplicates: others that are nearly an earlier one.
    conflicts: others that have an earlier one's question, and another answer.
    leaks: what was taken out of validation, as its question, or nearly all, is trained on.
    test_leaks: examples of the test part of which the same is true.
    """

    duplicates: int
    near_duplicates: int
    conflicts: int
    leaks: list[Reject]
    test_leaks: int

    def figures(self) -> Figures:
        """The counts, as they stand in `artifact.json`."""
        return {
            "duplicates": self.duplicates,
            "near_duplicates": self.near_duplicates,
            "same_question": self.conflicts,
            "leaks": len(self.leaks),
            "leaks_to_test": self.test_leaks,
        }


def normalized(text: str) -> str:
    """The text as it is compared: case, spaces and ways to write a letter do not count."""
    return " ".join(lower(nfc(text)).split())


def take_out_leaks(split: Split[Kind], *, drop_duplicates: bool = False) -> Repeats:
    """Count what repeats, and take out of `split.validation` what is trained on.

    A leak is dropped, not trained on: an example never changes its side. With `drop_duplicates`
    equal examples to train on are learned once.
    """
    wholes = [_digest(e.question, e.answer) for e in split.train]
    questions = [_digest(e.question) for e in split.train]
    is_again, is_asked_again = _seen_before(wholes), _seen_before(questions)
    sketches = _sketches(split.train)
    earlier = nearly_equal(sketches)
    is_near = (earlier >= 0) & ~is_again
    at = dict(zip(reversed(questions), reversed(split.train), strict=True))  # the first of each

    def twins(examples: Sequence[Kind]) -> list[Kind | None]:
        near = nearly_equal(_sketches(examples), sketches)
        return [
            at.get(_digest(example.question)) or (split.train[place] if place >= 0 else None)
            for example, place in zip(examples, near.tolist(), strict=True)
        ]

    validation_twins = twins(split.validation)
    repeats = Repeats(
        duplicates=int(is_again.sum()),
        near_duplicates=int(is_near.sum()),
        conflicts=int((is_asked_again & ~is_again & ~is_near).sum()),
        leaks=[
            Reject(example.where, "leak", f"trained on at {Path(twin.where).name}")
            for example, twin in zip(split.validation, validation_twins, strict=True)
            if twin
        ],
        test_leaks=sum(twin is not None for twin in twins(split.test)),
    )
    kept = zip(split.validation, validation_twins, strict=True)
    split.validation = [example for example, twin in kept if twin is None]
    if drop_duplicates:
        split.train = [e for e, again in zip(split.train, is_again, strict=True) if not again]
    return repeats


def say_repeats(verb: str, repeats: Repeats, *, dropped: bool) -> None:
    """Tell the person at the screen what stands twice; nothing where nothing does."""
    if repeats.duplicates or repeats.near_duplicates or repeats.conflicts:
        say(
            f"{verb}: {repeats.duplicates:,} examples repeat an earlier one"
            f"{' and were left out' if dropped and repeats.duplicates else ''}, "
            f"{repeats.near_duplicates:,} nearly, {repeats.conflicts:,} more have its question"
        )
    if repeats.leaks:
        say(
            f"{verb}: {len(repeats.leaks):,} examples were taken out of validation, because they "
            f"are trained on (the first: {repeats.leaks[0].where})"
        )
    if repeats.test_leaks:
        say(
            f"{verb}: {repeats.test_leaks:,} examples of the test part are trained on, too; "
            "judge by a test of other questions"
        )


def _sketches(examples: Sequence[Example]) -> TextSketches:
    short = [len(example.answer.split()) < SHORT_ANSWER_WORDS for example in examples]
    kinds = [
        int.from_bytes(_digest(example.answer)[:8]) if is_short else 0
        for example, is_short in zip(examples, short, strict=True)
    ]
    texts = [f"{example.question}\n{example.answer}" for example in examples]
    return sketch_texts(texts, np.array(kinds, dtype=np.uint64))


def _digest(*texts: str) -> bytes:
    joined = "\0".join(map(normalized, texts))
    return hashlib.blake2b(joined.encode(), digest_size=16).digest()


def _seen_before(digests: Iterable[bytes]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    seen: set[bytes] = set()
    flags = []
    for digest in digests:
        flags.append(digest in seen)
        seen.add(digest)
    return np.array(flags, dtype=np.bool_)
