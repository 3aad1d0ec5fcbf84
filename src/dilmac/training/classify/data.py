"""Labeled texts: validated before anything loads, split by hash or by files, cut by tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dilmac.core import (
    FORMATS,
    InputError,
    expand_inputs,
    json_object,
    part_of,
    read_lines,
)
from dilmac.models import UNKNOWN, DataSource
from dilmac.tokenizer import Tokenizer
from dilmac.training.classify.config import ClassifyConfig

_JSONL = {"jsonl": FORMATS["jsonl"]}
Label = str | int


@dataclass(frozen=True)
class Example:
    """A text with its label, where it stands, and what decides its part."""

    text: str
    label: Label
    where: str
    key: str  # its id, or the text where it has none
    license: str = UNKNOWN  # as its record states it


@dataclass
class Parts:
    """Labeled texts to learn, to measure on during training, and to measure on at its end."""

    train: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)

    def __iter__(self) -> Iterator[Example]:
        yield from self.train
        yield from self.validation
        yield from self.test


@dataclass(frozen=True)
class Row:
    """Ids `[length]` of a text and the place of its label."""

    input_ids: list[int]
    label: int


def labeled_files(patterns: Iterable[str]) -> list[Path]:
    """The JSONL files behind files, folders and globs, each once.

    Raises:
        InputError: a pattern matches nothing, or no JSONL.
    """
    return expand_inputs(patterns, _JSONL)


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


def _read(config: ClassifyConfig, patterns: Sequence[str]) -> list[Example]:
    examples: list[Example] = []
    for path in labeled_files(patterns) if patterns else ():
        before = len(examples)
        for line in read_lines(path):
            if line.data is None or line.data.strip():
                values = json_object(line.data, f"{path}:{line.number}")
                examples.append(_example(values, f"{path}:{line.number}", config))
        if len(examples) == before:
            raise InputError("holds no labeled text", where=path)
    return examples


def _example(values: dict[str, object], where: str, config: ClassifyConfig) -> Example:
    text = values.get(config.text_field)
    if not isinstance(text, str) or not text.strip():
        raise _no_field(values, config.text_field, where, "is not text", "--text-field")
    label = values.get(config.label_field)
    if isinstance(label, bool) or not isinstance(label, str | int) or not str(label).strip():
        raise _no_field(
            values, config.label_field, where, "is neither text nor a whole number", "--label-field"
        )
    for name, value in ((config.text_field, text), (config.label_field, str(label))):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"field {name!r} holds a lone surrogate", where=where) from error
    id, license = values.get("id"), values.get("license")
    key = str(id) if isinstance(id, str | int) and not isinstance(id, bool) else ""
    stated = " ".join(license.split()) if isinstance(license, str) else ""
    stated = stated.encode(errors="replace").decode()
    return Example(text, label, where, key or text, stated or UNKNOWN)


def _no_field(
    values: dict[str, object], name: str, where: str, fault: str, flag: str
) -> InputError:
    """What is wrong with a field that cannot be used; `fault` says what it is not."""
    value = values.get(name)
    is_empty = value is None or (isinstance(value, str) and not value.strip())
    found = (
        "is missing" if name not in values else "is empty" if is_empty else f"{fault}: {value!r}"
    )
    there = ", ".join(values) or "none"
    return InputError(
        f"field {name!r} {found}", where=where, mend=f"fields there: {there}; {flag} names another"
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


def labels_of(examples: Iterable[Example]) -> list[str]:
    """Names of the labels in the order of their numbers: sorted, numbers by value."""
    found: set[Label] = {example.label for example in examples}
    return [
        str(label) for label in sorted(found, key=lambda label: (isinstance(label, str), label))
    ]


def encode_labeled(
    examples: Sequence[Example], labels: Sequence[str], tokenizer: Tokenizer, max_tokens: int
) -> tuple[list[Row], int]:
    """A row for each text, cut at `max_tokens`, and how many were cut."""
    places = {label: place for place, label in enumerate(labels)}
    rows, num_cut = [], 0
    encoded = tokenizer.encode_stream(example.text for example in examples)
    for example, ids in zip(examples, encoded, strict=True):
        num_cut += len(ids) > max_tokens
        rows.append(Row(ids[:max_tokens], places[str(example.label)]))
    return rows, num_cut


def num_also_learned(measured: Iterable[Example], train: Iterable[Example]) -> int:
    """Texts of a measured part that are learned, too: what they score says nothing."""
    learned = {example.text for example in train}
    return sum(example.text in learned for example in measured)


def labeled_sources(examples: Iterable[Example]) -> list[DataSource]:
    """The files of the texts, by name, with the texts under each license."""
    by_file: dict[str, Counter[str]] = {}
    for example in examples:
        name = Path(example.where.rpartition(":")[0]).name
        by_file.setdefault(name, Counter())[example.license] += 1
    return [DataSource(name, counts.total(), licenses=counts) for name, counts in by_file.items()]
