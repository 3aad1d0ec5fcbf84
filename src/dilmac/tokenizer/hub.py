"""A tokenizer by name: a folder, or what the hub's cache or the hub has under that name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dilmac.core import InputError


def folder_of(name: str, files: Sequence[str], where: str | None = None) -> Path:
    """The folder `name`, or that name's `files` on the hub, as far as it has them.

    Raises:
        InputError: no such folder, and no such name that can be reached; `where` names the flag.
    """
    if Path(name).is_dir():
        return Path(name)
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
