"""What `--model` and `--tokenizer` name: folders, what ships, or names on the hub."""

from __future__ import annotations

from pathlib import Path

from dilmac.core import InputError
from dilmac.models import model_folder, shipped_models
from dilmac.tokenizer import TOKENIZER_FILES, folder_of

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*", "README.md")


def source_folder(name: str) -> Path:
    """The folder of a model: a path, one that ships, or the hub's, downloaded.

    Raises:
        InputError: there is none, and the hub does not have it or cannot be reached.
    """
    if Path(name).exists() or name in shipped_models():
        return model_folder(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=list(MODEL_FILES)))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise InputError(
            "no such model folder, none of that name ships, and the hub has no such name or cannot "
            "be reached",
            where=f"--model {name}",
            mend=f"`hf download {name} --local-dir DIR`, then give DIR",
        ) from error


def tokenizer_folder(name: str) -> Path:
    """The folder of a tokenizer, likewise.

    Raises:
        InputError: there is none.
    """
    return folder_of(name, TOKENIZER_FILES, f"--tokenizer {name}")
