"""A tokenizer by name: a folder, one that ships (`tr32k`), or one of the hub or its cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dilmac.core import InputError
from dilmac.tokenizer.pretrained import pretrained_names, pretrained_path


def folder_of(name: str, files: Sequence[str], where: str | None = None) -> Path:
    """The folder `name`, what ships under that name, or its `files` on the hub.

    Raises:
        InputError: no such folder, and no such name that can be reached; `where` names the flag.
    """
    if name in pretrained_names():
        return pretrained_path(name)
    if Path(name).is_dir():
        return Path(name)
    if Path(name).name == "tokenizer.json" and Path(name).is_file():
        return Path(name).parent
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except (OSError, ValueError, HfHubHTTPError) as error:  # not cached, no network, no such name
        raise InputError(
            "no tokenizer.json there, and the hub has no such name or cannot be reached",
            where=where or name,
            mend=f"`hf download {name} tokenizer.json tokenizer_config.json --local-dir DIR`, then "
            "give DIR; with HF_HUB_OFFLINE=0 dilmac asks the hub itself",
        ) from error
