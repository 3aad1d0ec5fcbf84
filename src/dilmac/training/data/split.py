"""Which examples are trained on, measured on, or left for a test: by a hash of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

from dilmac.core import InputError, place_of
from dilmac.training.data.read import Kind


@dataclass
class Split(Generic[Kind]):
    """Examples to train on, to measure on, and those that no one here may see."""

    train: list[Kind] = field(default_factory=list)
    validation: list[Kind] = field(default_factory=list)
    test: list[Kind] = field(default_factory=list)


def split_examples(
    examples: Sequence[Kind], *, validation_percent: float, test_percent: float
) -> Split[Kind]:
    """Examples by the hash of their id, or of the instruction where they have none.

    With 10 and 10 percent the parts are those of `part_of`.

    Raises:
        InputError: nothing is left to train on.
    """
    split: Split[Kind] = Split()
    for example in examples:
        place = place_of(example.key)
        if place >= 100 - test_percent:
            split.test.append(example)
        elif place >= 100 - test_percent - validation_percent:
            split.validation.append(example)
        else:
            split.train.append(example)
    if not split.train:  # a handful of examples, all on one side
        split.train, split.validation = split.validation, []
    if not split.train:
        raise InputError(
            f"all {len(examples)} examples fall into the test part",
            where=examples[0].where,
            mend="give more examples or a smaller --test-percent",
        )
    return split
