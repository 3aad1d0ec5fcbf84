"""One definition, three faces: a stage's Config is its flags, its YAML section and its record."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dilmac.core.errors import ConfigError


class Config(BaseModel):
    """Base of every stage's Config: frozen, typed, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """Validate a YAML section; `where` (file and section) is named in the error.

        Raises:
            ConfigError: a key is unknown, missing or out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise explain(error, cls, where=where) from error


class StageConfig(Config):
    """What every stage that makes an artifact takes besides its own settings."""

    out: Path = Field(description="folder of the new artifact; it appears when it is whole")
    seed: int = Field(42, ge=0, description="seed of everything random in the stage")

    def record(self, inputs: set[str]) -> dict[str, Any]:
        """Settings as they stand in `artifact.json`: without places, which may differ by machine.

        `inputs` names the fields that hold input paths; those are recorded by their SHA-256.
        """
        return self.model_dump(mode="json", exclude=inputs | {"out"})


def explain(error: ValidationError, model: type[BaseModel], *, where: str | None) -> ConfigError:
    """The first fault of a pydantic error in our own words: key, what was found, the mend.

    With `where=None` keys are written as flags (`--vocab-size`), else as YAML keys.
    """
    fault = error.errors()[0]
    key = ".".join(part for part in fault["loc"] if isinstance(part, str))
    if not key:  # settings that do not go together
        return ConfigError(fault["msg"].removeprefix("Value error, "), where=where)
    shown = f"--{key.replace('_', '-')}" if where is None else f"{where}: {key}"
    if fault["type"] == "extra_forbidden":
        return unknown_key(key, model.model_fields, where=where)
    if fault["type"] == "missing":
        return ConfigError("is missing", where=shown, mend=_meaning(model, key))
    message = fault["msg"].removeprefix("Value error, ")
    found = f"{message[0].lower()}{message[1:]}, found {fault['input']!r}"
    return ConfigError(found, where=shown, mend=_meaning(model, key))


def unknown_key(key: str, known: Mapping[str, Any], *, where: str | None) -> ConfigError:
    """An unknown key is refused with the nearest right one."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    mend = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return ConfigError(f"unknown key {key!r}", where=where, mend=mend)


def _meaning(model: type[BaseModel], key: str) -> str | None:
    field = model.model_fields.get(key.split(".", maxsplit=1)[0])
    return f"{key}: {field.description}" if field and field.description else None
