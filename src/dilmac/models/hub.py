"""Models of others' hubs: Hugging Face's by their names, ModelScope's with a prefix."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dilmac.core import InputError, MissingDependencyError
from dilmac.models.catalogue.find import find_entry, hub_name

MODELSCOPE = "modelscope:"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
# What a model needs; not the same weights once more in another format.
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*", "README.md")


def is_hub_name(name: str) -> bool:
    """Whether it may be a model of a hub: `owner/name`, a name of the catalogue, `modelscope:…`."""
    return bool(
        name.startswith(MODELSCOPE) or REPOSITORY.fullmatch(name) or find_entry(name) is not None
    )


def hub_folder(name: str) -> Path:
    """The folder of a hub's model, downloaded or from its cache.

    `qwen3-0.6b` is the hub's `Qwen/Qwen3-0.6B`; `modelscope:Qwen/Qwen3-0.6B` ModelScope's.

    Raises:
        InputError: the hub does not have it, or cannot be reached.
        MissingDependencyError: ModelScope's own package is not installed.
    """
    if name.startswith(MODELSCOPE):
        return _of_modelscope(hub_name(name.removeprefix(MODELSCOPE)))
    repository = hub_name(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(repository, allow_patterns=list(MODEL_FILES)))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise _unreachable(name, f"hf download {repository} --local-dir DIR") from error


def _of_modelscope(repository: str) -> Path:
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            "needs modelscope", where="--model", mend="pip install 'dilmac[modelscope]'"
        ) from error
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"  # one switch for every hub
    patterns = list(MODEL_FILES)
    try:
        return Path(
            snapshot_download(repository, allow_patterns=patterns, local_files_only=offline)
        )
    except Exception as error:  # its own errors, and those of requests
        command = f"modelscope download --model {repository} --local_dir DIR"
        raise _unreachable(MODELSCOPE + repository, command) from error


def _unreachable(name: str, command: str) -> InputError:
    return InputError(
        "no such model folder, none of that name ships, and the hub has no such name or cannot "
        "be reached",
        where=f"--model {name}",
        mend=f"`{command}`, then give DIR; with HF_HUB_OFFLINE=0 dilmac asks the hub itself",
    )
