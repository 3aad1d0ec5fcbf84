"""Labeled texts: validated before anything loads, split by hash or by files, cut by tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dilmac.core import InputError, part_of
from dilmac.tokenizer import Tokenizer
from dilmac.training.classify.config import ClassifyConfig
from dilmac.training.data.examples import Labeled
from dilmac.training.data.fields import Fields
from dilmac.training.data.formats import labeled_in
from dilmac.training.data.records import data_files, records_of


@dataclass
class Parts:
    """Labeled texts to learn, to measure on during training, and to measure on at its end."""

    train: list[Labeled] = field(default_factory=list)
    validation: list[Labeled] = field(default_factory=list)
    test: list[Labeled] = field(default_factory=list)

    def __iter__(self) -> Iterator[Labeled]:
        yield from self.train
        yield from self.validation
        yield from self.test


@dataclass(frozen=True)
class Row:
    """Ids `[length]` of a text and the place of its label."""

    input_ids: list[int]
    label: int


def read_parts(config: ClassifyConfig) -> Parts:
    """All labeled texts in their parts.

    A part that has files of its own is these; one that has none is cut from `--data` by the hash
    of the id, or of the text where there is none (`dilmac.core.part_of`: 80, 10 and 10 percent).

    Raises:
        InputError: a line is no JSON object, or its text or label is none; a label cannot be
            learned.
    """
    parts = Parts(validation=_read(config, config.validation), test=_read(config, config.test))
    for example in _read(config, config.data):
        part = part_of(example.key)
        has_files = part != "train" and getattr(config, part)
        place = parts.train if has_files else getattr(parts, part)
        place.append(example)
    _require_learnable(parts, config)
    return parts


def _read(config: ClassifyConfig, patterns: Sequence[str]) -> list[Labeled]:
    examples: list[Labeled] = []
    for path in data_files(patterns):
        before = len(examples)
        for where, values in records_of(path):
            if isinstance(values, InputError):
                raise values
            _require_fields(values, where, config)
            examples.append(labeled_in(values, where, config.text_field, config.label_field))
        if len(examples) == before:
            raise InputError("holds no labeled text", where=path)
    return examples


def _require_fields(values: Fields, where: str, config: ClassifyConfig) -> None:
    named = {"--text-field": config.text_field, "--label-field": config.label_field}
    for flag, name in named.items():
        if name not in values:
            raise InputError(
                f"field {name!r} is missing",
                where=where,
                mend=f"fields there: {', '.join(values) or 'none'}; {flag} names another",
            )


def _require_learnable(parts: Parts, config: ClassifyConfig) -> None:
    """Refuse labels of two kinds, fewer than two labels, and labels that only measuring meets."""
    first = next(iter(parts))
    for example in parts:
        if type(example.label) is not type(first.label):
            raise InputError(
                f"label {example.label!r} and {first.label!r} ({first.where}) are of two kinds",
                where=example.where,
                mend="write all labels as text, or all as whole numbers",
            )
    if not parts.train:
        raise InputError(
            "all texts fall into the measured parts", where=first.where, mend="give more texts"
        )
    learned = {example.label for example in parts.train}
    for example in (*parts.validation, *parts.test):
        if example.label not in learned:
            raise InputError(
                f"no text of the training part has the label {example.label!r} of "
                f"field {config.label_field!r}",
                where=example.where,
                mend="give more texts of this label, or leave them out",
            )
    if len(learned) == 1:
        raise InputError(
            f"every text has the label {first.label!r} in field {config.label_field!r}",
            where=first.where.rpartition(":")[0],
            mend="give texts of at least two labels, or name another --label-field",
        )


def labels_of(examples: Iterable[Labeled]) -> list[str]:
    """Names of the labels in the order of their numbers: sorted, numbers by value."""
    found: set[str | int] = {example.label for example in examples}
    return [
        str(label) for label in sorted(found, key=lambda label: (isinstance(label, str), label))
    ]


def encode_labeled(
    examples: Sequence[Labeled], labels: Sequence[str], tokenizer: Tokenizer, max_tokens: int
) -> tuple[list[Row], int]:
    """A row for each text, cut at `max_tokens`, and how many were cut."""
    places = {label: place for place, label in enumerate(labels)}
    rows, num_cut = [], 0
    encoded = tokenizer.encode_stream(example.text for example in examples)
    for example, ids in zip(examples, encoded, strict=True):
        num_cut += len(ids) > max_tokens
        rows.append(Row(ids[:max_tokens], places[str(example.label)]))
    return rows, num_cut


def num_also_learned(measured: Iterable[Labeled], train: Iterable[Labeled]) -> int:
    """Texts of a measured part that are learned, too: what they score says nothing."""
    learned = {example.text for example in train}
    return sum(example.text in learned for example in measured)
