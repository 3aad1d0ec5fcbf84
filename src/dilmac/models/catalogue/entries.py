"""The catalogue as data: what is known of every model, and of what it may be used for.

`None` means unknown, everywhere. A fact comes from one of the sources that the model names.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, field_validator

from dilmac.core import Config
from dilmac.models.count import parse_count

Task = Literal["text", "code", "math", "vision", "audio"]
TASKS: tuple[Task, ...] = get_args(Task)
FILE = Path(__file__).with_name("qwen.yaml")


class Shape(Config):
    """What a model's memory follows from; what is unknown is None."""

    layers: int | None = Field(None, description="layers")
    full_attention_layers: int | None = Field(
        None, description="layers that keep keys and values; all of them where it is not said"
    )
    hidden: int | None = Field(None, description="width of a position's vector")
    heads: int | None = Field(None, description="attention heads")
    kv_heads: int | None = Field(None, description="heads of keys and values")
    head_dim: int | None = Field(None, description="width of a head")
    intermediate: int | None = Field(None, description="width of the SwiGLU layer")
    experts: int | None = Field(None, description="experts of a layer")
    experts_per_token: int | None = Field(None, description="experts that one token uses")
    moe_intermediate: int | None = Field(None, description="width of an expert")
    shared_intermediate: int | None = Field(None, description="width of the shared expert")
    vocab: int | None = Field(None, description="rows of the tables")
    tied: bool | None = Field(None, description="input and output share one table")
    state_bytes: int = Field(
        0, description="what layers without keys and values keep of a sequence [bytes]"
    )


class Entry(Shape):
    """A model of the catalogue."""

    name: str = Field(description="its name here, as people write it")
    family: str = Field(description="key of its family")
    generation: float = Field(description="version of the family, to tell newer from older")
    is_history: bool = Field(False, description="superseded: listed, never suggested")
    tasks: tuple[Task, ...] = Field(description="what it is for, its first purpose first")
    architecture: str | None = Field(None, description="model_type of its config.json")
    chat: str | None = Field(None, description="name on the hub of the version that answers")
    base: str | None = Field(None, description="name on the hub of the version before that")
    params: int | None = Field(None, description="parameters, counted")
    active: int | None = Field(None, description="parameters that one token uses, counted")
    nominal: int | None = Field(None, description="parameters as the name says")
    nominal_active: int | None = Field(None, description="those of one token as the name says")
    context: int | None = Field(None, description="context of its training [tokens]")
    longest_context: int | None = Field(None, description="context with YaRN [tokens]")
    license: str = Field(description="key of its license")
    ollama: str | None = Field(None, description="its name in Ollama's library")
    foundry: str | None = Field(None, description="its name in Foundry Local's catalogue")
    unconfirmed: tuple[str, ...] = Field((), description="what only a secondary source says")
    sources: tuple[str, ...] = Field(min_length=1, description="keys of where the facts are from")

    @field_validator("nominal", "nominal_active", mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        return parse_count(value, where="catalogue") if isinstance(value, str) else value

    @property
    def size(self) -> int | None:
        """Parameters: counted, or else as the name says."""
        return self.params or self.nominal

    @property
    def active_size(self) -> int | None:
        """Parameters that one token uses: all of them where there are no experts."""
        if self.active or self.nominal_active:
            return self.active or self.nominal_active
        return None if "_moe" in (self.architecture or "") else self.size

    @property
    def hub(self) -> str | None:
        """Its name on the hub: the version that answers where there are two."""
        return self.chat or self.base


# What `shape_of` carries over; names, contexts and licenses are each model's own.
CARRIED = {*Shape.model_fields, "params", "active", "nominal", "nominal_active"}


class License(Config):
    """What one may do with a model."""

    title: str = Field(description="its name")
    commercial: bool | None = Field(None, description="whether commercial use is allowed")
    terms: str = Field(description="the limits, in a line")


class Support(Config):
    """Whether a runtime, or a place to download from, has an architecture or a family."""

    runs: bool = Field(description="yes or no")
    note: str = Field("", description="on what condition")
    source: str = Field(description="key of where the fact is from")


class Family(Config):
    """Models that came together."""

    title: str = Field(description="its name")
    places: dict[str, Support] = Field(default_factory=dict, description="where it can be had")


class Catalogue(Config):
    """All there is in the file."""

    sources: dict[str, str]
    licenses: dict[str, License]
    architectures: dict[str, dict[str, Support]]
    families: dict[str, Family]
    models: dict[str, Entry]


@cache
def catalogue() -> Catalogue:
    """The catalogue that ships."""
    read: dict[str, Any] = yaml.load(FILE.read_text(encoding="utf-8"), yaml.CSafeLoader)
    families, lines = read.pop("families"), {}
    for key, family in families.items():
        shared = {
            **family.pop("defaults"),
            "family": key,
            "generation": family.pop("generation"),
            "is_history": family.pop("is_history", False),
        }
        for line in family.pop("models"):
            lines[line["name"]] = (shared, line)
    models = {name: _merged(lines, name) for name in lines}
    return Catalogue.from_mapping({**read, "families": families, "models": models}, where=FILE.name)


def _merged(lines: dict[str, tuple[dict[str, Any], dict[str, Any]]], name: str) -> dict[str, Any]:
    shared, line = lines[name]
    own = dict(line)
    like: dict[str, Any] = {}
    if (other := own.pop("shape_of", None)) is not None:
        like = {key: value for key, value in _merged(lines, other).items() if key in CARRIED}
    return {**shared, **like, **own}
