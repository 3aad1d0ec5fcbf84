"""The verbs that make models of models. They parse, call, and print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cyclopts import App, Parameter

from dilmac.core import Artifact, Figures
from dilmac.models import PresetsConfig
from dilmac.training import ConvertConfig, RescaleConfig
from dilmac.transplant import HealConfig, TransplantConfig

Flat = Parameter(name="*")
Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
Show = Callable[[Artifact | Figures, bool], None]

CONFIGS = (PresetsConfig, ConvertConfig, RescaleConfig, TransplantConfig, HealConfig)
DEFAULT_PRESETS = PresetsConfig()


def models_app(show: Show) -> App:
    """The group `dilmac models`; `show` prints a result, as JSON where that is asked for."""
    models = App(name="models", help="Shapes to train, and models made from other models.")

    @models.command
    def presets(
        *, config: Annotated[PresetsConfig, Flat] = DEFAULT_PRESETS, as_json: Json = False
    ) -> None:
        """Shapes to train, with their real numbers of parameters and the memory they take.

        Example: `dilmac models presets --params 50M --vocab-size 32000`
        """
        from dilmac.models import list_presets, print_presets

        figures = list_presets(config)
        if as_json:
            show(figures, True)
        else:
            print_presets(figures)

    @models.command
    def convert(
        *, config: Annotated[ConvertConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """Turn a PyTorch state dict into a model folder; every name is accounted for.

        Example: `dilmac models convert --weights model.pt --config 134m --tokenizer tok --out hf`
        """
        from dilmac.training import convert_weights

        show(convert_weights(config, force=force), as_json)

    @models.command
    def rescale(
        *, config: Annotated[RescaleConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """Make the context longer than trained, and measure what it costs.

        Example: `dilmac models rescale --model base --context 4096 --corpus corpus --out longer`
        """
        from dilmac.training import rescale as run

        show(run(config, force=force), as_json)

    return models


def add_transplant(app: App, show: Show) -> None:
    """The verbs `dilmac transplant` and `dilmac heal`."""

    @app.command
    def transplant(
        *, config: Annotated[TransplantConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """Give a model another tokenizer: rebuild its rows, copy the rest.

        Example: `dilmac transplant --model Qwen/Qwen3-0.6B --tokenizer extended --out qwen-tr`
        """
        from dilmac.transplant import transplant as run

        show(run(config, force=force), as_json)

    @app.command
    def heal(
        *, config: Annotated[HealConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """Train a transplanted model until it is at home in its new vocabulary.

        Example: `dilmac heal --model qwen-tr --corpus corpus --tokens 20M --out healed`
        """
        from dilmac.transplant import heal as run

        show(run(config, force=force), as_json)
