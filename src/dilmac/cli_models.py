"""The verbs that make models of models. They parse, call, and print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cyclopts import App, Parameter

from dilmac.core import Artifact, Figures
from dilmac.models import ListConfig, PresetsConfig, ShowConfig, SuggestConfig
from dilmac.training import ConvertConfig, RescaleConfig
from dilmac.transplant import HealConfig, TransplantConfig

Flat = Parameter(name="*")
Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
Show = Callable[[Artifact | Figures, bool], None]

DEFAULT_PRESETS = PresetsConfig()
DEFAULT_LIST = ListConfig()


class ShowFlags(ShowConfig):
    """ShowConfig's flags: its model stands on the command line without a name, or with one."""

    model: Annotated[str, Parameter(parse=False, show=False)] = ""


DEFAULT_SHOW = ShowFlags()
CONFIGS = (
    PresetsConfig,
    ListConfig,
    ShowFlags,
    SuggestConfig,
    ConvertConfig,
    RescaleConfig,
    TransplantConfig,
    HealConfig,
)


def models_app(show: Show) -> App:
    """The group `dilmac models`; `show` prints a result, as JSON where that is asked for."""
    models = App(
        name="models",
        help="Models to start from, shapes to train, and models made from other models.",
    )
    _add_catalogue(models, show)

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


def _add_catalogue(models: App, show: Show) -> None:
    """The verbs `list`, `show` and `suggest`."""

    @models.command(name="list")
    def list_(*, config: Annotated[ListConfig, Flat] = DEFAULT_LIST, as_json: Json = False) -> None:
        """The models there are to start from: size, context, memory, license.

        Example: `dilmac models list --task code --license apache-2.0`
        """
        from dilmac.models import list_models, print_models

        figures = list_models(config)
        if as_json:
            show(figures, True)
        else:
            print_models(figures)

    @models.command(name="show")
    def show_(
        model: str,
        *,
        flags: Annotated[ShowFlags, Flat] = DEFAULT_SHOW,
        as_json: Json = False,
    ) -> None:
        """All that is known of a model, where it runs, and the memory it needs.

        Example: `dilmac models show qwen3-0.6b --context 32k`

        Parameters
        ----------
        model
            name in the catalogue or on the hub, or a local model folder
        """
        from dilmac.models import print_model, show_model

        figures = show_model(ShowConfig(**{**flags.model_dump(), "model": model}))
        if as_json:
            show(figures, True)
        else:
            print_model(figures)

    @models.command
    def suggest(*, config: Annotated[SuggestConfig, Flat], as_json: Json = False) -> None:
        """The model that fits your memory and task, and why the others do not.

        Example: `dilmac models suggest --memory 8GB --task code --context 8k --device cpu`
        """
        from dilmac.models import print_suggestion, suggest_model

        figures = suggest_model(config)
        if as_json:
            show(figures, True)
        else:
            print_suggestion(figures)


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
