"""The verbs of classification, and those that measure models. They parse, call, and print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from dilmac.core import Artifact, Figures
from dilmac.evaluate import CompareRunsConfig, EvaluateConfig
from dilmac.training import ClassifyConfig, PredictConfig

Flat = Parameter(name="*")
Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
Show = Callable[[Artifact | Figures, bool], None]
NotAFlag = Parameter(parse=False, show=False)
SHOWN_CHARACTERS = 60  # of a text beside its label


class PredictFlags(PredictConfig):
    """PredictConfig's flags: its texts stand on the command line without a name."""

    text: Annotated[tuple[str, ...], NotAFlag] = ()


class CompareRunsFlags(CompareRunsConfig):
    """CompareRunsConfig's flags: its runs stand on the command line without a name."""

    runs: Annotated[tuple[Path, ...], NotAFlag] = ()


DEFAULT_COMPARE = CompareRunsFlags()
CONFIGS = (ClassifyConfig, PredictFlags, CompareRunsFlags, PredictConfig, CompareRunsConfig)


def classify_app(show: Show) -> App:
    """The group `dilmac classify`; `show` prints a result, as JSON where that is asked for."""
    group = App(name="classify", help="Labels for texts: train a classifier, and use it.")

    @group.command
    def train(
        *, config: Annotated[ClassifyConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """Teach a language model to label texts; plain transformers opens the result.

        Example: `dilmac classify train --model dilmac-mini --data reviews.jsonl --out classifier`
        """
        from dilmac.training import classify_train

        show(classify_train(config, force=force), as_json)

    @group.command
    def predict(
        text: list[str] | None = None,
        *,
        flags: Annotated[PredictFlags, Flat],
        as_json: Json = False,
    ) -> None:
        """Label texts: of the command line, of a file, or the lines of standard input.

        Example: `dilmac classify predict "Kargo geç geldi." --model classifier`

        Parameters
        ----------
        text
            texts to label
        """
        from dilmac.training import classify_predict

        config = PredictConfig(**{**flags.model_dump(), "text": tuple(text or ())})
        _print_labels(classify_predict(config), as_json)

    return group


def _print_labels(found: Iterable[Figures], as_json: bool) -> None:
    """A line for each text: its label, probability and beginning, or all of it as JSON."""
    for row in found:
        if as_json:
            print(json.dumps(row, ensure_ascii=False), flush=True)  # noqa: T201
            continue
        share = row["probabilities"][row["label"]]
        begins = " ".join(row["text"].split())[:SHOWN_CHARACTERS]
        print(f"{row['label']}\t{share:.3f}\t{begins}", flush=True)  # noqa: T201


def add_measuring(app: App, show: Show) -> None:
    """The verbs `dilmac evaluate` and `dilmac compare`."""

    @app.command
    def evaluate(*, config: Annotated[EvaluateConfig, Flat], as_json: Json = False) -> None:
        """Bits per byte on unseen text, beside PPMd primed with the same training text; or tasks.

        Example: `dilmac evaluate --model base --text file.txt --corpus corpus`

        Example: `dilmac evaluate --model chat --tasks all --task-data data/ --limit 200`
        """
        from dilmac.evaluate import evaluate as run
        from dilmac.evaluate import print_evaluation

        figures = run(config)
        if config.tasks and not as_json:
            print_evaluation(figures)
        else:
            show(figures, as_json)

    @app.command
    def compare(
        runs: list[Path],
        *,
        flags: Annotated[CompareRunsFlags, Flat] = DEFAULT_COMPARE,
        as_json: Json = False,
    ) -> None:
        """Trained models side by side: cost, size, quality as recorded, and latency now.

        Example: `dilmac compare full lora qlora --html compare.html`

        Parameters
        ----------
        runs
            folders of fine-tuned models, classifiers, or other models
        """
        from dilmac.evaluate import compare_runs, print_runs

        config = CompareRunsConfig(**{**flags.model_dump(), "runs": tuple(runs)})
        figures = compare_runs(config)
        if as_json:
            show(figures, True)
        else:
            print_runs(figures)
