"""Datasets of the Hugging Face hub, streamed: `hf://NAME?config=…&split=…&revision=…`.

NAME may be a local folder: `hf:///data/news?split=train`, `hf://news` beside you. What the folder
holds is read as the hub would read it, or as `Dataset.save_to_disk` wrote it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from dilmac.core import InputError, InputRecord, UnreadableInputError, input_record
from dilmac.corpus.config import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read.records import documents_of

HUB = "hf://"
HUB_SECONDS = 30.0  # to wait for the hub's answer
_OPTIONS = ("config", "split", "revision")
_FORM = "hf://NAME?config=…&split=…&revision=…"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def read_hub(place: str, source: str, config: CorpusConfig) -> Iterator[Document | Reject]:
    """Documents of a dataset, a batch in memory at a time.

    Raises:
        InputError: there is no such dataset, configuration or split, the hub cannot be reached, or
            the first record has no text field.
    """
    fields = [config.text_field, config.id_field, config.source_field, config.license_field]
    rows = enumerate(_rows(place, fields), start=1)
    yield from documents_of(((f"{source}:{number}", row) for number, row in rows), source, config)


def parse_place(place: str) -> tuple[str, dict[str, str]]:
    """Name (or folder) and options of `hf://…`; the split is `train` where none is given.

    Raises:
        InputError: an option is unknown or empty, or there is no name.
    """
    name, _, query = place.removeprefix(HUB).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option, value in options.items():
        if option not in _OPTIONS or not value:
            fault = "is empty" if option in _OPTIONS else "is no option"
            raise InputError(f"{option!r} {fault}", where=place, mend=_FORM)
    if not name:
        raise InputError("no name", where=place, mend=_FORM)
    return name, {"split": "train", **options}


def name_of(place: str) -> str:
    """The dataset's name in reports: without what is usual, and the same wherever a folder lies."""
    name, options = parse_place(place)
    parts = [Path(name).resolve().name if Path(name).is_dir() else name]
    parts += [options["config"]] if "config" in options else []
    parts += [options["split"]] if options["split"] != "train" else []
    return "/".join(parts)


def pin(place: str) -> str:
    """The place with the commit that its revision (by default `main`) is at now.

    What is read later, on whatever machine, and what stands in `artifact.json` are then the same,
    though the dataset may change meanwhile. Only a commit needs no network.

    Raises:
        InputError: there is no such dataset or revision, or the hub cannot be reached.
    """
    name, options = parse_place(place)
    if Path(name).is_dir():
        return place
    if name.startswith(("/", ".")):
        raise InputError("no such folder", where=place, mend=_FORM)
    _go_online()
    if not _COMMIT.fullmatch(options.get("revision", "")):
        options["revision"] = _commit_of(name, options.get("revision"), place)
    return f"{HUB}{name}?{urlencode(sorted(options.items()), safe='/')}"


def record_hub(place: str) -> InputRecord:
    """What stands in `artifact.json`: of a local folder its content, of a hub's dataset its place
    with the commit (see `pin`), and the SHA-256 of that."""
    name, options = parse_place(place)
    if Path(name).is_dir():
        folder = input_record(Path(name))
        digest = hashlib.sha256(f"{folder.sha256}{sorted(options.items())}".encode()).hexdigest()
        return InputRecord(name=name_of(place), sha256=digest, num_bytes=folder.num_bytes)
    place = pin(place)
    return InputRecord(name=place, sha256=hashlib.sha256(place.encode()).hexdigest(), num_bytes=0)


def _commit_of(name: str, revision: str | None, place: str) -> str:
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(name, revision=revision, timeout=HUB_SECONDS).sha
    except Exception as error:
        raise _unreadable(place, error) from error
    if commit is None:
        raise InputError("the hub names no commit of it", where=place, mend=_FORM)
    return commit


def _rows(place: str, fields: Iterable[str | None]) -> Iterator[dict[str, Any]]:
    try:
        rows = _open(*parse_place(place))
        wanted = [field for field in dict.fromkeys(fields) if field in (rows.column_names or ())]
        # Other columns are left alone: images and sounds would be unpacked for nothing.
        yield from rows.select_columns(wanted) if wanted else rows
    except InputError:
        raise
    except Exception as error:  # the library raises dozens of kinds, with requests' and fsspec's
        raise _unreadable(place, error) from error


def _open(name: str, options: dict[str, str]) -> Any:
    import datasets

    if not Path(name).is_dir():
        _go_online()
    if (Path(name) / "dataset_dict.json").is_file():
        return datasets.load_from_disk(name)[options["split"]].to_iterable_dataset()
    if (Path(name) / "state.json").is_file():
        return datasets.load_from_disk(name).to_iterable_dataset()
    return datasets.load_dataset(
        str(Path(name).resolve()) if Path(name).is_dir() else name,
        options.get("config"),
        split=options["split"],
        revision=options.get("revision"),
        streaming=True,
    )


def _go_online() -> None:
    """Let the hub be asked, unless the user wants no network (HF_HUB_OFFLINE is his own)."""
    if os.environ.pop("DILMAC_OFFLINE_BY_DEFAULT", None) is None:
        return
    os.environ.pop("HF_HUB_OFFLINE", None)
    import datasets
    import huggingface_hub.constants

    # Both read the variable once, when they are imported.
    huggingface_hub.constants.HF_HUB_OFFLINE = False
    datasets.config.HF_HUB_OFFLINE = False


def _unreadable(place: str, error: Exception) -> InputError:
    text = " ".join(str(error).split())[:300] or type(error).__name__
    return UnreadableInputError(
        f"cannot be read ({text})",
        where=place,
        mend="check name, config and split; a gated dataset needs `hf auth login`; without network "
        "give a local folder: hf:///FOLDER",
    )
