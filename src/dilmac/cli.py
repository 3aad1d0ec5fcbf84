"""The command `dilmac`: one verb per stage. It parses, calls, and prints; no logic."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from pydantic import BaseModel, ValidationError
from rich.console import Console

import dilmac
from dilmac.cli_adapters import ADAPTER_CONFIGS, adapters_app
from dilmac.cli_classify import CONFIGS as CLASSIFY_CONFIGS
from dilmac.cli_classify import add_measuring, classify_app
from dilmac.cli_doctor import CONFIGS as DOCTOR_CONFIGS
from dilmac.cli_doctor import add_doctor
from dilmac.cli_estimate import RecipeFlags, estimate_app
from dilmac.cli_export import EXPORT_CONFIGS, export_app
from dilmac.cli_models import CONFIGS, add_transplant, models_app
from dilmac.cli_serve import CONFIGS as SERVE_CONFIGS
from dilmac.cli_serve import add_talking
from dilmac.core import Artifact, DilmacError, Figures, console, explain
from dilmac.corpus import CorpusConfig
from dilmac.estimate import EstimateConfig
from dilmac.evaluate import EvaluateConfig
from dilmac.quickstart import QuickstartConfig
from dilmac.recipe import RecipeConfig
from dilmac.tokenizer import CompareConfig, ExtendConfig, TokenizerConfig
from dilmac.training import FinetuneConfig, PretrainConfig

EXIT_MENDABLE = 2
EXIT_INTERRUPTED = 130

app = App(
    name="dilmac",
    help="The whole life of a Turkish language model: text, tokenizer, model, chat.",
    version=dilmac.__version__,
    default_parameter=Parameter(negative_iterable=""),
    help_format="markdown",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
corpus = App(name="corpus", help="Raw text into clean Turkish text.")
tokenizer = App(name="tokenizer", help="Train, extend and compare tokenizers.")
for group in (corpus, tokenizer):
    app.command(group)

Flat = Parameter(name="*")  # a Config's fields are the command's flags
Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
NotAFlag = Annotated[tuple[str, ...], Parameter(parse=False, show=False)]


DEFAULT_QUICKSTART = QuickstartConfig()


class CorpusFlags(CorpusConfig):
    """CorpusConfig's flags: its inputs stand on the command line without a name."""

    inputs: NotAFlag = ()


class CompareFlags(CompareConfig):
    """CompareConfig's flags: its inputs stand on the command line without a name."""

    inputs: NotAFlag = ()


def _print_figures(figures: Figures) -> None:
    print(json.dumps(figures, ensure_ascii=False, indent=2))  # noqa: T201


def _show(result: Artifact | Figures, as_json: bool) -> None:
    """An artifact's place and figures, or figures alone; of torchrun's processes one shows them."""
    if os.environ.get("RANK", "0") != "0":
        return
    figures = result.figures if isinstance(result, Artifact) else result
    if console.quiet:
        return
    if as_json:
        _print_figures(figures)
        return
    if isinstance(result, Artifact):
        _line("artifact", result.path)
    for name, value in figures.items():
        _line(name, value)


def _line(name: str, value: Any) -> None:
    shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
    print(f"{name}: {shown}")  # noqa: T201


app.command(models_app(_show))
app.command(adapters_app(_show))
add_transplant(app, _show)
app.command(classify_app(_show))
add_measuring(app, _show)
add_doctor(app, _show)
app.command(estimate_app(_show))
app.command(export_app(_show))
add_talking(app, _show)


@app.command(sort_key=0)
def quickstart(
    *,
    config: Annotated[QuickstartConfig, Flat] = DEFAULT_QUICKSTART,
    as_json: Json = False,
) -> None:
    """Text to a Turkish model you can talk to, in minutes, on a laptop.

    Example: `dilmac quickstart --text my-texts/ --out mine`
    """
    from dilmac.quickstart import print_summary
    from dilmac.quickstart import quickstart as run

    figures = run(config)
    if as_json:
        _print_figures(figures)
    else:
        print_summary(figures)


@corpus.command(name="build")
def corpus_build(
    inputs: list[str],
    *,
    flags: Annotated[CorpusFlags, Flat],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Read, repair, keep good Turkish once; write shards, rejects with reasons, and a report.

    Example: `dilmac corpus build texts/ more.jsonl.zst --out corpus`

    Parameters
    ----------
    inputs
        files, folders, globs (.txt .md .jsonl .parquet .html .warc; .gz .zst .xz) or
        hf://NAME?config=…&split=…
    """
    from dilmac.corpus import build_corpus

    config = CorpusConfig(**{**flags.model_dump(), "inputs": tuple(inputs)})
    _show(build_corpus(config, force=force), as_json)


@tokenizer.command(name="train")
def tokenizer_train(
    *, config: Annotated[TokenizerConfig, Flat], force: Force = False, as_json: Json = False
) -> None:
    """Train a lossless SentencePiece BPE and convert it, id for id, to Hugging Face's format.

    Example: `dilmac tokenizer train --corpus corpus --vocab-size 32000 --out tokenizer`
    """
    from dilmac.tokenizer import train_tokenizer

    _show(train_tokenizer(config, force=force), as_json)


@tokenizer.command(name="extend")
def tokenizer_extend(
    *, config: Annotated[ExtendConfig, Flat], force: Force = False, as_json: Json = False
) -> None:
    """Continue Qwen's tokenizer on Turkish words; every old row keeps its id.

    Example: `dilmac tokenizer extend --corpus corpus --base Qwen/Qwen3-0.6B --out extended`
    """
    from dilmac.tokenizer import extend_tokenizer

    _show(extend_tokenizer(config, force=force), as_json)


@tokenizer.command(name="path")
def tokenizer_path(name: str, *, as_json: Json = False) -> None:
    """Print the folder of a tokenizer that ships with dilmac.

    Example: `dilmac tokenizer path tr32k`

    Parameters
    ----------
    name
        tr32k or tr64k
    """
    from dilmac.tokenizer import pretrained_path

    folder = pretrained_path(name)
    if as_json:
        _print_figures({"path": str(folder)})
    else:
        print(folder)  # noqa: T201


@tokenizer.command(name="compare")
def tokenizer_compare(
    inputs: list[str], *, flags: Annotated[CompareFlags, Flat], as_json: Json = False
) -> None:
    """Count what tokenizers make of the same texts, and what it costs; the first is the baseline.

    Example: `dilmac tokenizer compare text.txt --tokenizer qwen3/ --tokenizer tokenizer/`

    Parameters
    ----------
    inputs
        text files (.txt .md .jsonl .parquet; .gz .zst .xz)
    """
    from dilmac.tokenizer import compare_tokenizers, print_comparison

    config = CompareConfig(**{**flags.model_dump(), "inputs": tuple(inputs)})
    figures = compare_tokenizers(config)
    if as_json:
        _print_figures(figures)
    else:
        print_comparison(figures)


@app.command
def pretrain(
    *, config: Annotated[PretrainConfig, Flat], force: Force = False, as_json: Json = False
) -> None:
    """Train a plain Llama from scratch; the same command goes on after an interruption.

    Example: `dilmac pretrain --corpus corpus --tokenizer tokenizer --preset tiny --out base`
    """
    from dilmac.training import pretrain as run

    _show(run(config, force=force), as_json)


@app.command
def finetune(
    *, config: Annotated[FinetuneConfig, Flat], force: Force = False, as_json: Json = False
) -> None:
    """Teach a model to answer, or to prefer answers: by an adapter or in full, in ChatML.

    Example: `dilmac finetune --model base --data instructions.jsonl --out chat`
    """
    from dilmac.training import finetune as run
    from dilmac.training import preview_data, print_preview

    if config.preview and not as_json:
        print_preview(preview_data(config), Console(highlight=False))
    else:
        _show(preview_data(config) if config.preview else run(config, force=force), as_json)


@app.command(name="run")
def run_recipe(
    recipe: str,
    *,
    out: str | None = None,
    from_stage: Annotated[str | None, Parameter(name="--from")] = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    as_json: Json = False,
) -> None:
    """Run the stages of a recipe in order; what is complete is skipped.

    Example: `dilmac run recipe.yaml --set base.tokens=500000 --from base`

    Parameters
    ----------
    recipe
        recipe file (YAML)
    out
        folder of all stages; the recipe's own by default
    from_stage
        make this stage and all after it again, even if complete
    changes
        change a setting: stage.key=value; repeat the flag
    """
    from dilmac.recipe import run_recipe as run

    config = RecipeConfig.from_mapping(
        {"recipe": recipe, "out": out, "from_stage": from_stage, "set": changes}, where="dilmac run"
    )
    made = run(config)
    if as_json:
        _print_figures(made.figures)
        return
    for name in made.figures:
        _line(name, made.artifacts[name].path if name in made.artifacts else made.figures[name])


def main(arguments: list[str] | None = None) -> None:
    """Entry point: what the user can mend ends with 2 and a line or two, Ctrl-C with 130."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    console.quiet = os.environ.get("RANK", "0") != "0"  # of torchrun's processes one speaks
    is_debug = "--debug" in tokens
    if is_debug:
        tokens.remove("--debug")
    else:
        _quiet_libraries()
    sys.exit(_guarded(lambda: app(tokens), is_debug=is_debug))


def _guarded(run: Callable[[], Any], *, is_debug: bool) -> int:
    try:
        run()
    except DilmacError as error:
        return _fail(str(error), error, is_debug)
    except CycloptsError as error:
        return _fail(_flag_error(error), error, is_debug)
    except KeyboardInterrupt:
        message = "interrupted; the same command again goes on, or begins anew where it must"
        console.print(message, markup=False)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _fail(message: str, error: Exception, is_debug: bool) -> int:
    if is_debug:
        traceback.print_exception(error)
    console.print(f"error: {message}", markup=False, soft_wrap=True)
    return EXIT_MENDABLE


def _flag_error(error: CycloptsError) -> str:
    """A flag's fault in our own words where pydantic found it, else in cyclopts'."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ValidationError):
        return str(explain(cause, _config_of(cause), where=None))
    return str(error)


def _config_of(error: ValidationError) -> type[BaseModel]:
    known = (
        CorpusFlags,
        TokenizerConfig,
        ExtendConfig,
        CompareFlags,
        PretrainConfig,
        FinetuneConfig,
        EvaluateConfig,
        *EXPORT_CONFIGS,
        QuickstartConfig,
        EstimateConfig,
        RecipeFlags,
        *CONFIGS,
        *ADAPTER_CONFIGS,
        *CLASSIFY_CONFIGS,
        *DOCTOR_CONFIGS,
        *SERVE_CONFIGS,
    )
    return next((config for config in known if config.__name__ == error.title), BaseModel)


def _quiet_libraries() -> None:
    """Libraries' warnings are for us, not for users; `--debug` shows them."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if "HF_HUB_OFFLINE" not in os.environ:  # models and tokenizers come from the disk
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["DILMAC_OFFLINE_BY_DEFAULT"] = "1"  # `hf://…` may still ask the hub
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
