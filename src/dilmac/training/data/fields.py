"""Fields of a record, taken out with their types; a fault names the field and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from dilmac.core import InputError

Fields = Mapping[str, object]


def text_in(values: Fields, name: str, where: str, *, path: str = "") -> str:
    """The text of a field; `path` stands before its name in messages (`messages[2].`).

    Raises:
        InputError: it is missing, of another type, empty, or not Unicode.
    """
    shown = f"field {path + name!r}"
    return checked_text(_there(values, name, shown, where), shown, where)


def text_if_any(values: Fields, name: str, where: str, *, path: str = "") -> str | None:
    """The same of a field that may be missing, null or an empty text."""
    return text_in(values, name, where, path=path) if values.get(name) not in (None, "") else None


def checked_text(value: object, shown: str, where: str) -> str:
    """A value that is a text with something in it.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, str):
        found = f"{shown} is {kind_of(value)}, not text"
        raise InputError(found, where=where, mend="put the text in quotes, or remove the record")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{shown} holds a lone surrogate at character {error.start}",
            where=where,
            mend="half of a character was lost: write it again, or remove the record",
        ) from error
    # Zero-width characters alone are nothing to learn either; they are not printable.
    if not any(letter.isprintable() and not letter.isspace() for letter in value):
        raise InputError(f"{shown} is empty", where=where, mend="fill it, or remove the record")
    return value


def list_in(values: Fields, name: str, where: str) -> list[object]:
    """The items of a field.

    Raises:
        InputError: it is no list, or an empty one.
    """
    value = _there(values, name, f"field {name!r}", where)
    if not isinstance(value, list):
        found = f"field {name!r} is {kind_of(value)}, not a list of turns"
        raise InputError(found, where=where, mend='give [{"role": …, "content": …}, …]')
    if not value:
        raise InputError(
            f"field {name!r} is empty", where=where, mend="fill it, or remove the record"
        )
    return value


def kind_of(value: object) -> str:
    """What a value is, in a word for a message."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (str, "text"),
        (bool, "true or false"),
        ((int, float), "a number"),
        (list, "a list"),
        (Mapping, "an object"),
        (bytes, "no UTF-8"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was meant, if one is near."""
    by_lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def _there(values: Fields, name: str, shown: str, where: str) -> object:
    """The value of a field that must be there."""
    value = values.get(name)
    if value is None:
        others = [str(other) for other in values if other != name]
        near = nearest(name, others)
        known = f"fields there: {', '.join(others) or 'none'}"
        raise InputError(
            f"{shown} is {'null' if name in values else 'missing'}",
            where=where,
            mend=f"rename {near!r} to {name!r}" if near and name not in values else known,
        )
    return value
