"""The verbs `dilmac adapters …`. They parse, call, and print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cyclopts import App, Parameter

from dilmac.core import Artifact, Figures
from dilmac.training import ListAdaptersConfig, MergeAdapterConfig, SwitchAdapterConfig

Flat = Parameter(name="*")
Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
Show = Callable[[Artifact | Figures, bool], None]

ADAPTER_CONFIGS = (ListAdaptersConfig, SwitchAdapterConfig, MergeAdapterConfig)


def adapters_app(show: Show) -> App:
    """The group `dilmac adapters`; `show` prints a result, as JSON where that is asked for."""
    adapters = App(name="adapters", help="Several adapters of one base: list, switch, merge.")

    @adapters.command(name="list")
    def list_(*, config: Annotated[ListAdaptersConfig, Flat], as_json: Json = False) -> None:
        """The adapters of a folder, with their method, size and base; the active one is marked.

        Example: `dilmac adapters list --adapters runs`
        """
        from dilmac.training import list_adapters

        figures = list_adapters(config)
        if as_json:
            show(figures, True)
            return
        show({"active": figures["active"], **figures["adapters"]}, False)

    @adapters.command
    def switch(*, config: Annotated[SwitchAdapterConfig, Flat], as_json: Json = False) -> None:
        """Make one adapter the active one.

        Example: `dilmac adapters switch --adapters runs --name polite`
        """
        from dilmac.training import switch_adapter

        show(switch_adapter(config), as_json)

    @adapters.command
    def merge(
        *, config: Annotated[MergeAdapterConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """Merge an adapter into its base; the logits of both are compared.

        Example: `dilmac adapters merge --model base --adapters runs --name polite --out merged`
        """
        from dilmac.training import merge_named_adapter

        show(merge_named_adapter(config, force=force), as_json)

    return adapters
