"""The tokenizers that ship with the package, each a folder with its card."""

from __future__ import annotations

from pathlib import Path

from dilmac.core import ConfigError
from dilmac.tokenizer.encode import Tokenizer

_FOLDER = Path(__file__).resolve().parent


def pretrained_names() -> list[str]:
    """Names of the tokenizers that ship."""
    return sorted(file.parent.name for file in _FOLDER.glob("*/tokenizer.json"))


def pretrained_path(name: str) -> Path:
    """Folder of a tokenizer that ships: `AutoTokenizer` opens it, `--tokenizer` takes it.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in pretrained_names():
        raise ConfigError(
            f"no tokenizer {name!r} ships with dilmac",
            where="NAME",
            mend=f"one of {', '.join(pretrained_names())}",
        )
    return _FOLDER / name


def load(name: str) -> Tokenizer:
    """A tokenizer that ships, by name: `load("tr32k")`.

    Raises:
        ConfigError: there is none of that name.
    """
    return Tokenizer(pretrained_path(name))
