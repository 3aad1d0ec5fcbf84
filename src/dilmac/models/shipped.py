"""The models that ship with the package, and the one place where a name becomes a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from dilmac.core import Config, InputError
from dilmac.models.hub import hub_folder, is_hub_name

DEFAULT_MODEL = "dilmac-mini"  # what chat talks to, and quickstart goes on from
FOLDER = Path(__file__).resolve().parent / "pretrained"

AnyConfig = TypeVar("AnyConfig", bound=Config)


def shipped_models() -> list[str]:
    """Names of the models that ship."""
    return sorted(file.parent.name for file in FOLDER.glob("*/config.json"))


def shipped_model(name: str) -> Path:
    """Folder of a model that ships: `AutoModelForCausalLM` opens it, `--model` takes its name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in shipped_models():
        raise InputError(f"no model {name!r} ships with dilmac", mend=_names())
    return FOLDER / name


def model_folder(model: str | Path) -> Path:
    """What `--model` means: a path where something lies there, a model that ships, or a hub's.

    Raises:
        InputError: nothing is there, no model of that name ships, and no hub has it.
    """
    path = Path(model)
    if path.exists():
        return path
    if str(model) in shipped_models():
        return shipped_model(str(model))
    if is_hub_name(str(model)):
        return hub_folder(str(model))
    raise InputError(
        "no such model folder or file, and no model of that name ships with dilmac",
        where=path,
        mend=f"give a folder, or {_names()}",
    )


def with_model_folder(config: AnyConfig) -> AnyConfig:
    """The config of a verb with its `model` as a folder.

    Raises:
        InputError: see `model_folder`.
    """
    return config.model_copy(update={"model": model_folder(config.model)})  # type: ignore[attr-defined]


def is_shipped(model: Path) -> bool:
    """Whether a folder is one of those that ship, by whatever path."""
    place = model.resolve()
    return place.parent == FOLDER.resolve() and place.name in shipped_models()


def _names() -> str:
    names = shipped_models()
    return f"one of {', '.join(names)}" if names else "a path: none ships with this installation"
