"""`dilmac doctor`. It parses, calls, and prints; a model with faults ends it with 1."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from dilmac.core import Artifact, Figures
from dilmac.export import DoctorConfig

Flat = Parameter(name="*")
Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
Show = Callable[[Artifact | Figures, bool], None]
NotAFlag = Parameter(parse=False, show=False)
EXIT_FAULTS = 1  # 0 is a sound model, 2 what the user gave wrongly


class DoctorFlags(DoctorConfig):
    """DoctorConfig's flags: the model stands on the command line without a name."""

    model: Annotated[Path, NotAFlag] = Path()


DEFAULT = DoctorFlags()
CONFIGS = (DoctorFlags, DoctorConfig)


def add_doctor(app: App, show: Show) -> None:
    """The verb `dilmac doctor`."""

    @app.command
    def doctor(
        model: Path,
        *,
        flags: Annotated[DoctorFlags, Flat] = DEFAULT,
        force: Force = False,
        as_json: Json = False,
    ) -> None:
        """Faults that turn a model into gibberish elsewhere, whom they break, and a mended copy.

        Example: `dilmac doctor model/ --fix --out mended`

        Parameters
        ----------
        model
            model folder, adapter, tokenizer folder, or GGUF file
        """
        from dilmac.export import examine_model, print_findings

        config = DoctorConfig(**{**flags.model_dump(), "model": model})
        figures = examine_model(config, force=force)
        if as_json:
            show(figures, True)
        else:
            print_findings(figures)
        left = figures["mended"]["left"] if config.fix else figures["faults"]
        if left:
            sys.exit(EXIT_FAULTS)
