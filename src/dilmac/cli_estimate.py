"""`dilmac estimate`: before a recipe, or before any verb with its flags. It parses, and prints."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from pydantic import Field, create_model

from dilmac.core import Artifact, Figures, StageConfig
from dilmac.estimate import EstimateConfig, RecipeEstimateConfig

Flat = Parameter(name="*")
Json = Annotated[bool, Parameter(name="--json", negative="")]
NotAFlag = Parameter(parse=False, show=False)
Show = Callable[[Artifact | Figures, bool], None]
NOWHERE = Path("estimated")  # in place of --out, which an estimate does not need

DEFAULT = EstimateConfig()
# Verb → the room of its Config, and its name: those that `recipe.VERBS` and `ESTIMATED` both have.
ESTIMATED = {
    "corpus build": ("dilmac.corpus", "CorpusConfig"),
    "tokenizer train": ("dilmac.tokenizer", "TokenizerConfig"),
    "tokenizer extend": ("dilmac.tokenizer", "ExtendConfig"),
    "pretrain": ("dilmac.training", "PretrainConfig"),
    "transplant": ("dilmac.transplant", "TransplantConfig"),
    "heal": ("dilmac.transplant", "HealConfig"),
    "finetune": ("dilmac.training", "FinetuneConfig"),
    "export gguf": ("dilmac.export", "GgufConfig"),
    "export ollama": ("dilmac.export", "OllamaConfig"),
}


class RecipeFlags(RecipeEstimateConfig):
    """RecipeEstimateConfig's flags: its recipe stands on the command line without a name."""

    recipe: Annotated[Path, NotAFlag] = Path()


DEFAULT_RECIPE = RecipeFlags()


HELP = """Memory, time and cost of a recipe or a verb before it runs.

Example: `dilmac estimate recipe.yaml --device rtx4090`
"""


def estimate_app(show: Show) -> App:
    """The command `dilmac estimate`; `show` prints figures as JSON where that is asked for."""
    app = App(name="estimate", help=HELP)

    @app.default
    def recipe(
        recipe: Path,
        *,
        flags: Annotated[RecipeFlags, Flat] = DEFAULT_RECIPE,
        as_json: Json = False,
    ) -> None:
        """Memory, time and cost of every stage of a recipe, or of a verb with its flags.

        Example: `dilmac estimate recipe.yaml --device rtx4090`
        Example: `dilmac estimate pretrain --tokenizer tr32k --params 50M --tokens 1B --device h100`

        Parameters
        ----------
        recipe
            recipe file (YAML); or a verb, with its own flags
        """
        from dilmac.estimate import estimate_recipe

        config = RecipeEstimateConfig(**{**flags.model_dump(), "recipe": recipe})
        _print(estimate_recipe(config), show, as_json)

    groups: dict[str, App] = {}
    for verb, (room, name) in ESTIMATED.items():
        *group, last = verb.split()
        under = app
        if group:
            if group[0] not in groups:
                groups[group[0]] = App(name=group[0], help=f"Estimate `dilmac {group[0]} …`.")
                app.command(groups[group[0]])
            under = groups[group[0]]
        config_class = getattr(importlib.import_module(room), name)
        under.command(_command(verb, config_class, show), name=last)
    return app


def _command(verb: str, config_class: type[StageConfig], show: Show) -> Callable[..., None]:
    """The command that estimates a verb: the verb's flags and the estimate's own."""
    flags_class = _flags_of(config_class)
    takes_inputs = "inputs" in config_class.model_fields

    def estimate(*inputs: str, config: Any, how: Any = DEFAULT, as_json: bool = False) -> None:
        from dilmac.estimate import estimate_stage

        values = config.model_dump() | ({"inputs": inputs} if takes_inputs else {})
        _print(estimate_stage(verb, config_class(**values), how), show, as_json)

    estimate.__doc__ = (
        f"Memory, time and cost of `dilmac {verb}` with these flags.\n\n"
        f"Example: `dilmac estimate {verb} --device rtx4090 --price-per-hour 0.5 …`"
    )
    kinds: dict[str, Any] = {
        "config": Annotated[flags_class, Flat],
        "how": Annotated[EstimateConfig, Flat],
        "as_json": Json,
    }
    named = inspect.Parameter.KEYWORD_ONLY
    is_optional = not any(field.is_required() for field in flags_class.model_fields.values())
    default = flags_class() if is_optional else inspect.Parameter.empty  # type: ignore[call-arg]
    defaults = {"config": default, "how": DEFAULT, "as_json": False}
    parameters = [
        inspect.Parameter(name, named, annotation=kind, default=defaults[name])
        for name, kind in kinds.items()
    ]
    if takes_inputs:
        many = inspect.Parameter.VAR_POSITIONAL
        parameters.insert(0, inspect.Parameter("inputs", many, annotation=str))
        kinds["inputs"] = str
    estimate.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    estimate.__annotations__ = kinds
    return estimate


def _flags_of(config_class: type[StageConfig]) -> type[StageConfig]:
    """The Config under its own name, without what an estimate does not need."""
    changed: dict[str, Any] = {"out": (Path, Field(NOWHERE, description="not needed here"))}
    if "inputs" in config_class.model_fields:
        changed["inputs"] = (Annotated[tuple[str, ...], NotAFlag], ())
    return create_model(config_class.__name__, __base__=config_class, **changed)


def _print(figures: Figures, show: Show, as_json: bool) -> None:
    from dilmac.estimate import print_estimate

    if as_json:
        show(figures, True)
    else:
        print_estimate(figures)
