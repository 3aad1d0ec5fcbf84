"""Files into examples of one kind: validated line by line before anything is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar, cast

from dilmac.core import InputError, bundled_instructions, say
from dilmac.models import DataSource
from dilmac.training.data.examples import Conversation, Example, Reject
from dilmac.training.data.fields import Fields
from dilmac.training.data.formats import COMMON, Format, format_of, formats_of
from dilmac.training.data.records import records_of

BUNDLED_LICENSE = "apache-2.0"  # of the instructions that ship, as of all of dilmac
MOST_NAMED = 8  # fields that are not read, in a message

Kind = TypeVar("Kind", bound=Example)


@dataclass
class ReadData(Generic[Kind]):
    """What was read.

    examples: in the order of the files.
    rejects: records that were left out, where the caller allowed it.
    num_by_format: examples of each format, by its fields.
    unread: names of fields that no format knows.
    """

    examples: list[Kind] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    num_by_format: Counter[str] = field(default_factory=Counter)
    unread: dict[str, None] = field(default_factory=dict)


def read_data(
    paths: Iterable[Path], kind: type[Kind], *, reject_invalid: bool = False
) -> ReadData[Kind]:
    """Every record of files and saved datasets as examples of a kind.

    Each file has one format, told by the fields of its first record. With `reject_invalid` a record
    that is wrong becomes a reject; a file that cannot be read, or has nothing right, is an error
    nevertheless.

    Raises:
        InputError: a record is no JSON object, of another format than its file, or a field of it is
            missing, of another type, empty or not Unicode; roles are unknown or out of order.
    """
    data: ReadData[Kind] = ReadData()
    for path in paths:
        _read_file(path, kind, data, reject_invalid=reject_invalid)
    return data


def read_instructions(*paths: Path) -> list[Conversation]:
    """Every record of files as conversations; see `read_data`.

    Raises:
        InputError: see `read_data`.
    """
    return read_data(paths, Conversation).examples


def _read_file(path: Path, kind: type[Kind], data: ReadData[Kind], *, reject_invalid: bool) -> None:
    is_bundled = any(path.resolve() == ours.resolve() for ours in bundled_instructions())
    format_there = _FileFormat(kind, BUNDLED_LICENSE if is_bundled else None)
    num_before, first_fault = len(data.examples), None
    for where, values in records_of(path):
        try:
            if isinstance(values, InputError):
                raise values
            example = format_there.parse(values, where)
        except InputError as error:
            if not reject_invalid:
                raise
            first_fault = first_fault or error
            data.rejects.append(Reject(where, "invalid", error.found))
            continue
        data.examples.append(cast("Kind", example))
        data.num_by_format[format_there.shown] += 1
        data.unread |= dict.fromkeys(format_there.unread(values))
    if len(data.examples) == num_before:
        if first_fault:
            raise InputError(
                f"holds no valid example; the first fault: {first_fault.found}",
                where=first_fault.where,
                mend=first_fault.mend,
            )
        raise InputError("holds no example", where=path, mend="give a file with records")


class _FileFormat:
    """The format of a file, once its first record told it."""

    def __init__(self, kind: type[Example], license: str | None):
        self._kind, self._license = kind, license
        self._format: Format | None = None
        self._told_by = ""

    @property
    def shown(self) -> str:
        return self._format.shown if self._format else ""

    def parse(self, values: Fields, where: str) -> Example:
        """The example of a record; a record that is right tells the format of those after it.

        Raises:
            InputError: it is wrong, or of another format.
        """
        known, fitting = self._format, formats_of(values, self._kind)
        if known and fitting and known not in fitting:
            raise InputError(
                f"has {fitting[0].shown}, but {self._told_by} has {known.shown}: formats are mixed",
                where=where,
                mend="give each format a file of its own",
            )
        if known is None or len(fitting) > 1:
            known = format_of(values, self._kind, where)
        if self._license:
            values = {**values, "license": self._license}
        example = known.parse(values, where)
        if self._format is None:
            self._format, self._told_by = known, Path(where).name
        return example

    def unread(self, values: Fields) -> list[str]:
        """Names of a record's fields that the format does not know."""
        if self._format is None:
            return []
        read = {*COMMON, *self._format.needed, *self._format.optional}
        return [name for name, value in values.items() if name not in read and value is not None]


def say_what_was_read(verb: str, data: ReadData[Kind]) -> None:
    """Name the formats, the fields that were not read, and how many records were left out."""
    for shown, count in data.num_by_format.items():
        say(f"{verb}: {count:,} examples of {shown}")
    if data.unread:
        names = list(data.unread)
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        say(f"{verb}: fields that are not read: {', '.join(names[:MOST_NAMED])}{more}")
    if data.rejects:
        first = data.rejects[0]
        say(
            f"{verb}: {len(data.rejects):,} records are invalid and were left out, "
            f"the first at {first.where} ({first.found})"
        )


def data_sources(examples: Iterable[Example]) -> list[DataSource]:
    """The files of examples, by name, with the examples under each license."""
    by_file: dict[str, Counter[str]] = {}
    for example in examples:
        file = example.where.rpartition(":")[0]
        by_file.setdefault(file, Counter())[example.license] += 1
    return [
        DataSource(Path(file).name, counts.total(), licenses=counts)
        for file, counts in by_file.items()
    ]
