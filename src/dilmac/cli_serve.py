"""`dilmac chat` and `dilmac serve`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cyclopts import App, Parameter

from dilmac.core import Artifact, Figures
from dilmac.serve import ChatConfig, ServeConfig

CONFIGS = (ChatConfig, ServeConfig)
DEFAULT_CHAT, DEFAULT_SERVE = ChatConfig(), ServeConfig()

Flat = Parameter(name="*")
Json = Annotated[bool, Parameter(name="--json", negative="")]


def add_talking(app: App, show: Callable[[Artifact | Figures, bool], None]) -> None:
    """Both commands, at the root."""

    @app.command
    def chat(*, config: Annotated[ChatConfig, Flat] = DEFAULT_CHAT, as_json: Json = False) -> None:
        """Talk to a model in the terminal, streamed; without --model to the one that ships.

        Example: `dilmac chat --model gguf`
        """
        from dilmac.serve import chat as run

        figures = run(config)
        if as_json:
            show(figures, True)
        elif "answer" in figures:
            print(figures["answer"])  # noqa: T201

    @app.command
    def serve(
        *, config: Annotated[ServeConfig, Flat] = DEFAULT_SERVE, as_json: Json = False
    ) -> None:
        """Serve a model over HTTP as OpenAI does, to this machine only; Ctrl-C ends.

        Example: `dilmac serve --model gguf --port 8000`
        """
        from dilmac.serve import serve as run

        show(run(config), as_json)
