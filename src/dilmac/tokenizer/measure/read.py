"""The texts to measure on, with the group of each, composed (NFC), a batch in memory at a time."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from dilmac.core import InputError, expand_inputs, read_measured_texts, read_records
from dilmac.tokenizer.encode import require_characters
from dilmac.tokenizer.measure.config import CompareConfig

BATCH_TEXTS = 1024
BATCH_CHARACTERS = 2_000_000


def text_batches(config: CompareConfig) -> Iterator[tuple[list[str], list[str]]]:
    """Groups and texts of a batch, [texts] each.

    Raises:
        InputError: a file cannot be read, or a record has no text or no group.
    """
    groups: list[str] = []
    texts: list[str] = []
    num_characters = 0
    for group, text in _grouped_texts(config):
        groups.append(group)
        texts.append(unicodedata.normalize("NFC", text))
        num_characters += len(text)
        if len(texts) >= BATCH_TEXTS or num_characters >= BATCH_CHARACTERS:
            yield groups, texts
            groups, texts, num_characters = [], [], 0
    if texts:
        yield groups, texts


def pair_batches(config: CompareConfig) -> Iterator[tuple[list[str], list[str]]]:
    """Turkish and English sentences of a batch of `--parallel`, [pairs] each.

    Raises:
        InputError: the file cannot be read, or a record lacks one of the two.
    """
    if config.parallel is None:
        return
    fields = (config.turkish_field, config.english_field)
    pairs = (
        [unicodedata.normalize("NFC", _field(record, name, config.parallel)) for name in fields]
        for record in read_records([config.parallel])
    )
    while batch := list(islice(pairs, BATCH_TEXTS)):
        yield [turkish for turkish, _ in batch], [english for _, english in batch]


def _grouped_texts(config: CompareConfig) -> Iterator[tuple[str, str]]:
    files = expand_inputs(config.inputs)
    num_of_name = Counter(path.name for path in files)
    for path in files:
        if config.group_field is None:
            group = path.name.split(".")[0] if num_of_name[path.name] == 1 else str(path)
            texts = read_measured_texts([path], config.text_field, config.max_text_bytes)
            yield from ((group, text) for text in texts)
        else:
            yield from _within(_labeled_texts(path, config), config.max_text_bytes)


def _labeled_texts(path: Path, config: CompareConfig) -> Iterator[tuple[str, str]]:
    for record in read_records([path]):
        group = _field(record, config.group_field or "", path)
        yield group, _field(record, config.text_field, path)


def _within(texts: Iterable[tuple[str, str]], max_bytes: int) -> Iterator[tuple[str, str]]:
    left = max_bytes
    for group, text in texts:
        left -= len(text.encode())
        if left < 0:
            return
        yield group, text


def _field(record: dict[str, object], name: str, path: Path) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        mend = f"fields there: {', '.join(record)}"
        raise InputError(f"a record has no text in the field {name!r}", where=path, mend=mend)
    require_characters(value)
    return value
