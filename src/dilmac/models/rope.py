"""Longer context than trained: rotary positions that are stretched.

Two ways that transformers (`rope_parameters`) and llama.cpp (`llama.rope.scaling.*`) both know:

- `linear`: every position is divided by the factor (Chen et al. 2023, arXiv:2306.15595).
- `yarn`: fast rotations stay, slow ones are stretched, attention is made a little sharper
  (Peng et al. 2023, arXiv:2309.00071). Without further training it costs less than `linear`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from pydantic import Field

from dilmac.core import Config, ConfigError

if TYPE_CHECKING:
    from dilmac.models.presets import Preset

RopeType = Literal["linear", "yarn"]


class RopeScaling(Config):
    """How positions beyond the trained context are read."""

    type: RopeType = Field("yarn", description="linear or yarn")
    factor: float = Field(gt=1, description="new context divided by the trained one")
    original_context: int = Field(ge=1, description="context of the training [tokens]")

    def parameters(self) -> dict[str, Any]:
        """The keys of transformers' `rope_parameters`, without `rope_theta`."""
        found: dict[str, Any] = {"rope_type": self.type, "factor": self.factor}
        if self.type == "yarn":
            found["original_max_position_embeddings"] = self.original_context
        return found


@overload
def with_longer_context(model: Preset, context: int, type: RopeType = "yarn") -> Preset: ...
@overload
def with_longer_context(
    model: dict[str, Any], context: int, type: RopeType = "yarn"
) -> dict[str, Any]: ...
def with_longer_context(
    model: Preset | dict[str, Any], context: int, type: RopeType = "yarn"
) -> Preset | dict[str, Any]:
    """A preset, or the content of a `config.json`, with `context` tokens by rope scaling.

    The weights do not change. What was scaled before is scaled from its trained context anew.

    Raises:
        ConfigError: the context is not longer than the trained one, or the model's positions are
            of a kind that cannot be stretched so.
    """
    if isinstance(model, dict):
        return _longer_config(model, context, type)
    return _longer_preset(model, context, type)


def _longer_preset(preset: Preset, context: int, type: RopeType) -> Preset:
    old = preset.rope_scaling
    trained = old.original_context if old else preset.context
    scaling = scaling_for(trained, context, type)
    return preset.model_copy(update={"context": context, "rope_scaling": scaling})


def scaling_for(trained: int, context: int, type: RopeType) -> RopeScaling:
    """The scaling from `trained` to `context` tokens.

    Raises:
        ConfigError: the context is not longer than the trained one.
    """
    if context <= trained:
        raise ConfigError(
            f"{context} is not longer than the trained context of {trained} tokens",
            where="--context",
            mend="give a longer one; a shorter one needs no scaling",
        )
    return RopeScaling(type=type, factor=context / trained, original_context=trained)


def rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """`rope_parameters` of a `config.json`, in the words of transformers 5, theta included.

    Older folders say `rope_scaling` and `type`, and keep `rope_theta` beside it.
    """
    stated = config.get("rope_parameters") or config.get("rope_scaling") or {}
    found = {key: value for key, value in stated.items() if value is not None}
    kind = found.pop("type", None)
    found.setdefault("rope_type", kind or "default")
    found.setdefault("rope_theta", float(config.get("rope_theta") or 10000.0))
    return found


def trained_context(config: dict[str, Any]) -> int:
    """Tokens of context that a `config.json`'s model was trained with, before any scaling."""
    rope = rope_parameters(config)
    context = int(config["max_position_embeddings"])
    if rope["rope_type"] == "default":
        return context
    original = rope.get("original_max_position_embeddings")
    return int(original) if original else round(context / float(rope.get("factor", 1.0)))


def _longer_config(config: dict[str, Any], context: int, type: RopeType) -> dict[str, Any]:
    rope = rope_parameters(config)
    if rope["rope_type"] not in ("default", "linear", "yarn"):
        raise ConfigError(
            f"rope type {rope['rope_type']!r} cannot be scaled", where="--model", mend="leave it"
        )
    scaling = scaling_for(trained_context(config), context, type)
    new = {key: value for key, value in config.items() if key not in ("rope_scaling", "rope_theta")}
    new["rope_parameters"] = {**scaling.parameters(), "rope_theta": rope["rope_theta"]}
    new["max_position_embeddings"] = context
    return new
