"""The rules by name. A contributor's own is one function:

from dilmac.export import Finding, ModelFolder, doctor_rule

@doctor_rule("long-name", of="folder")
def long_name(folder: ModelFolder) -> Iterator[Finding]:
    if len(folder.path.name) > 80:
        yield Finding("note", folder.path.name, "a long name", ("Ollama",), "rename the folder")
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal

from dilmac.core import InputError
from dilmac.export.doctor.finding import Finding
from dilmac.export.doctor.folder import ModelFolder
from dilmac.export.doctor.gguf_file import GgufFile

Kind = Literal["folder", "gguf"]
Look = Callable[[Any], Iterable[Finding]]
Subject = ModelFolder | GgufFile


@dataclass(frozen=True)
class Rule:
    """A rule: `look` takes a `ModelFolder` or a `GgufFile`, whichever `of` says."""

    name: str
    of: Kind
    look: Look


RULES: list[Rule] = []
FOREIGN = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)


def doctor_rule(name: str, *, of: Kind) -> Callable[[Look], Look]:
    """Make a function a rule that `dilmac doctor` knows; rules of one subject share its name."""

    def add(look: Look) -> Look:
        if all(rule.look is not look for rule in RULES):
            RULES.append(Rule(name, of, look))
        return look

    return add


def find(subject: Subject) -> list[Finding]:
    """What every rule finds in a folder or a GGUF, the worst first.

    Raises:
        InputError: a file is damaged, or holds what a rule cannot read.
    """
    _load_rules()
    of: Kind = "folder" if isinstance(subject, ModelFolder) else "gguf"
    found = [
        replace(finding, rule=rule.name)
        for rule in list(RULES)
        if rule.of == of
        for finding in _looked(rule, subject)
    ]
    return sorted(found, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def _looked(rule: Rule, subject: Subject) -> list[Finding]:
    try:
        return list(rule.look(subject))
    except FOREIGN as error:  # a value of a type that no tool writes there
        raise InputError(
            f"the rule {rule.name} cannot read it ({type(error).__name__}: {error})",
            where=subject.path,
            mend="is a key of another type than other models have? --debug shows where",
        ) from error


def _load_rules() -> None:
    package = import_module("dilmac.export.doctor.rules")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
