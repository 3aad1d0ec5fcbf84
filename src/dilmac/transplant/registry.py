"""The methods by name. A researcher's own is one function:

from dilmac.transplant import Wanted, Role, Rows, mixed, register

@register("halves", source="my paper")
def halves(wanted: Wanted, role: Role) -> Rows:
    parts = wanted.parts
    return mixed(parts, [[1.0] + [0.5] * (len(row) - 1) for row in parts])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

import torch

from dilmac.core import Config, ConfigError
from dilmac.tokenizer import Tokenizer
from dilmac.transplant.decompose import Cuts
from dilmac.transplant.mixture import Decompositions
from dilmac.transplant.plan import Origin, Plan

Role = Literal["input", "output", "tied"]


class Rows(Protocol):
    """Makes wanted rows from an old table, some at a time."""

    def __call__(self, table: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Wanted rows `start` to `stop`, [rows, width], float32, from a table [old rows, width]."""
        ...


Texts = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Wanted:
    """What a method is asked for.

    `rows` are the new rows to make (those of `Origin.COMPOSED`), in their order; `plan` tells what
    every row is made of. `texts` gives text to learn from, anew each time; `donor` is a model
    folder that already has the new vocabulary; `cuts` count how the old tokenizer cut new tokens
    in text. Each is None where the user asked for none.
    """

    plan: Plan
    source: Tokenizer
    target: Tokenizer
    texts: Texts | None = None
    donor: Path | None = None
    cuts: Cuts | None = None
    seed: int = 42
    notes: dict[str, object] = field(default_factory=dict)  # for the figures
    cache: dict[str, object] = field(default_factory=dict)  # of a method, between two tables

    @cached_property
    def rows(self) -> list[int]:
        return self.plan.rows_of(Origin.COMPOSED)

    @cached_property
    def parts(self) -> list[list[int]]:
        """Old rows of each wanted row, in the order of their bytes."""
        return [self.plan.parts[row] for row in self.rows]

    @cached_property
    def decompositions(self) -> Decompositions:
        """Each wanted row's ways to be cut and their shares: one, or those that text has."""
        ways = self.cuts or {}
        found = []
        for row, alone in zip(self.rows, self.parts, strict=True):
            counts = ways.get(row) or {tuple(alone): 1}
            total = sum(counts.values())
            found.append([(cut, count / total) for cut, count in counts.items()])
        return found

    def sizes(self, parts: Sequence[int]) -> list[float]:
        """Bytes of old rows."""
        return [float(len(self.plan.source_bytes[old] or b"")) for old in parts]

    def require_texts(self, method: str) -> Texts:
        """The text, for a method that learns.

        Raises:
            ConfigError: the user gave none.
        """
        if self.texts is None:
            raise ConfigError(
                f"{method} learns from text in the new tokenization, and there is none",
                where="--corpus",
                mend="give a corpus artifact (dilmac corpus build)",
            )
        return self.texts


Method = Callable[[Wanted, Role], Rows]


@dataclass(frozen=True)
class Registered:
    """A method with the paper that it follows."""

    name: str
    make: Method
    source: str
    needs: tuple[str, ...] = ()  # settings without which it cannot work

    def require(self, config: Config) -> None:
        """Refuse settings without what the method needs.

        Raises:
            ConfigError: one is missing.
        """
        for name in self.needs:
            if getattr(config, name) is None:
                raise ConfigError(
                    f"{self.name} cannot work without it",
                    where=f"--{name}",
                    mend=f"{name}: {type(config).model_fields[name].description}",
                )


METHODS: dict[str, Registered] = {}


def register(name: str, *, source: str, needs: tuple[str, ...] = ()) -> Callable[[Method], Method]:
    """Make a function a method that `--init` knows."""

    def add(make: Method) -> Method:
        if name in METHODS and METHODS[name].make is not make:
            raise ConfigError(f"there is already a method {name!r}", where="register")
        METHODS[name] = Registered(name, make, source, needs)
        return make

    return add


def method_named(name: str) -> Registered:
    """A method by its name.

    Raises:
        ConfigError: there is none.
    """
    import_module("dilmac.transplant.methods")  # which register themselves
    if name not in METHODS:
        raise ConfigError(
            f"no method {name!r}", where="--init", mend=f"one of {', '.join(METHODS)}"
        )
    return METHODS[name]
