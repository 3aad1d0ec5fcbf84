"""Records of the files that fine-tuning reads: JSON lines, parquet, and saved datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dilmac.core import FORMATS, InputError, expand_inputs, file_format, read_lines, read_table, say

Found = tuple[str, dict[str, object] | InputError]  # where, and the fields or what is wrong

_READABLE = {kind: FORMATS[kind] for kind in ("jsonl", "parquet")}
_ENCODINGS = "`iconv -f WINDOWS-1254 -t UTF-8 FILE` writes Turkish Windows text in UTF-8"


def data_files(patterns: Iterable[str | Path]) -> list[Path]:
    """Files and saved datasets behind files, folders and globs, each once, in order.

    Raises:
        InputError: a pattern matches nothing, or nothing that is read.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern)
        paths = [path] if is_saved_dataset(path) else expand_inputs([path], _READABLE)
        for one in paths:
            found.setdefault(one.resolve(), one)
    return list(found.values())


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by `save_to_disk` of `datasets`."""
    return (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()


def records_of(path: Path) -> Iterator[Found]:
    """Records of a file or a saved dataset, with their places; empty lines are none.

    Raises:
        InputError: the whole cannot be read: missing, damaged, cut off, no parquet, no split.
    """
    if is_saved_dataset(path):
        rows: Iterable[tuple[int, dict[str, Any]]] = enumerate(_saved_rows(path), start=1)
        yield from ((f"{path}:{number}", dict(row)) for number, row in rows)
    elif file_format(path, _READABLE) == "parquet":
        yield from ((f"{path}:{number}", row) for number, row in read_table(path))
    else:
        for line in read_lines(path):
            where = f"{path}:{line.number}"
            if line.data is None:
                fault = InputError("a line of more than 64 MiB", where=where, mend="remove it")
                yield where, fault
            elif line.data.strip():
                try:
                    yield where, _object(line.data, where)
                except InputError as error:
                    yield where, error


def _object(data: bytes, where: str) -> dict[str, object]:
    if b"\0" in data:
        raise InputError(
            "holds zero bytes: binary, or UTF-16 without its mark",
            where=where,
            mend="write the file in UTF-8: `iconv -f UTF-16LE -t UTF-8 FILE`",
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        found = f"no UTF-8 (byte 0x{data[error.start]:02X} at place {error.start + 1})"
        raise InputError(found, where=where, mend=_ENCODINGS) from error
    try:
        values = json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        raise InputError(
            f"no JSON ({error.msg.lower().rstrip(' at')} at character {error.pos + 1})",
            where=where,
            mend=_how_to_mend(text),
        ) from error
    except (ValueError, RecursionError) as error:
        found = f"no JSON ({error or 'too deep'})"
        raise InputError(found, where=where, mend="mend or remove the line") from error
    if not isinstance(values, dict):
        raise InputError("no JSON object", where=where, mend=_how_to_mend(text))
    return values


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object as it is; JSON's own readers let the last of two equal names win, silently."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twin!r} stands twice in an object")
    return values


def _how_to_mend(text: str) -> str:
    bare = text.strip()
    if bare.startswith("["):
        return "one object a line: `jq -c '.[]' FILE` writes an array so"
    if bare == "{":
        return "one object a line: `jq -c . FILE` writes objects so"
    if bare.startswith("{") and not bare.endswith("}"):
        return "the line is cut off: complete or remove it"
    return "mend or remove the line"


def _saved_rows(path: Path) -> Any:
    """Rows of a saved dataset, memory-mapped; a class by its name where the dataset knows it."""
    import datasets

    try:
        saved = datasets.load_from_disk(str(path))
    except Exception as error:  # of many kinds: json's, pyarrow's, the library's own
        text = " ".join(str(error).split())[:300] or type(error).__name__
        found = f"no readable dataset ({text})"
        raise InputError(found, where=path, mend="save it again with `save_to_disk`") from error
    if isinstance(saved, datasets.DatasetDict):
        name = "train" if "train" in saved else next(iter(saved), "")
        if not name or (name != "train" and len(saved) > 1):
            raise InputError(
                f"a dataset without a split 'train'; there are: {', '.join(saved) or 'none'}",
                where=path,
                mend="give the folder of a split",
            )
        if others := [other for other in saved if other != name]:
            say(f"{path}: the split {name!r} is read, not {', '.join(others)}")
        saved = saved[name]
    classes = {
        name: feature
        for name, feature in saved.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    for row in saved:
        named = {
            name: feature.int2str(row[name])
            for name, feature in classes.items()
            if row[name] is not None and row[name] >= 0
        }
        yield row | named
