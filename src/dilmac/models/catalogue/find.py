"""A model by what people call it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from dilmac.core import ConfigError
from dilmac.models.catalogue.entries import Entry, catalogue


def find_entry(name: str) -> Entry | None:
    """The model of that name, in any case, with or without `Qwen/`, or of that name on the hub."""
    return _by_name().get(_plain(name))


def hub_name(name: str) -> str:
    """The name on the hub that a name of the catalogue stands for; any other name as it is.

    `qwen3-0.6b` is `Qwen/Qwen3-0.6B`. A version that has a repository of its own keeps its name:
    `qwen2.5-7b` is the base model, `qwen2.5-7b-instruct` the one that answers.
    """
    entry = find_entry(name)
    if entry is None:
        return name
    for repository in (entry.base, entry.chat):
        if repository is not None and _plain(repository) == _plain(name):
            return repository
    return entry.hub or name


def known_key(value: str, known: Iterable[str], flag: str) -> str:
    """`value` as one of `known`, in any case.

    Raises:
        ConfigError: it is none; the nearest is named.
    """
    names = {name.lower(): name for name in known}
    if value.lower() in names:
        return names[value.lower()]
    raise ConfigError(f"no {value!r}", where=flag, mend=nearest(value, names.values()))


def nearest(name: str, known: Iterable[str]) -> str:
    """A mend that names the nearest of `known`, or all of them where they are few."""
    names = {_plain(each): each for each in known}
    near = difflib.get_close_matches(_plain(name), list(names), n=3, cutoff=0.5)
    if near:
        return f"did you mean {', '.join(names[each] for each in near)}?"
    return f"one of {', '.join(names.values())}" if len(names) < 15 else "see `dilmac models list`"


def _by_name() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in catalogue().models.values():
        for name in (entry.name, entry.chat, entry.base):
            if name is not None:
                found.setdefault(_plain(name), entry)
    return found


def _plain(name: str) -> str:
    return name.lower().removeprefix("qwen/")
