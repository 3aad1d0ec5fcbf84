"""The GGUF of a model that ships: made at first use, kept in the user's cache, proved there.

The package ships weights once, as safetensors; llama.cpp answers several times as fast as
transformers on a CPU, so the first conversation writes them as a GGUF. The folder in the cache
bears the model's digest and dilmac's version: an upgrade makes its own, and the cache may be
removed at any time.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

from filelock import FileLock, Timeout

from dilmac.core import (
    DilmacError,
    EngineError,
    ParityError,
    input_record,
    open_artifact,
    say,
    versions,
    write_json,
)

WAIT_SECONDS = 300.0  # for another process that makes the same file; it takes some seconds
FILE_TYPE = "f16"
# Enough to see whether llama.cpp on this machine reads the file as transformers reads the folder;
# the full proof, which takes longer than a first answer should, was made before the model shipped.
PROOF = {"num_lines": 100, "num_fuzz": 200, "num_positions": 50}


class NoGgufError(Exception):
    """Why llama.cpp cannot be had for a model that ships."""


def shipped_gguf(folder: Path) -> Path:
    """The GGUF file of a model that ships, made and proved if it is not there.

    Raises:
        NoGgufError: llama.cpp is not installed, the cache cannot be written, or the proof failed.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise NoGgufError("xllamacpp is not installed (`pip install xllamacpp` brings it)")
    try:
        place = cache_folder() / "gguf" / _name(folder)
        return _whole(place) or _made_by_one(folder, place)
    except DilmacError as error:
        raise NoGgufError(
            f"{error.where}: {error.found}" if error.where else error.found
        ) from error
    except OSError as error:  # read-only, no quota
        raise NoGgufError(f"its cache cannot be written ({error})") from error


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/dilmac`, or `~/.cache/dilmac` where that is no absolute path.

    Raises:
        NoGgufError: there is no home folder.

    Source: XDG Base Directory Specification 0.8.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "dilmac"
    try:
        return Path("~/.cache").expanduser() / "dilmac"
    except RuntimeError as error:
        raise NoGgufError(f"its cache has no place ({error}); set XDG_CACHE_HOME") from error


def _name(folder: Path) -> str:
    version = versions().get("dilmac", "unknown")
    return f"{folder.name}-{input_record(folder).sha256[:16]}-{version}"


def _whole(place: Path) -> Path | None:
    """The file, where all of it is there."""
    try:
        artifact = open_artifact(place, "gguf")
    except DilmacError:
        return None
    return place / str(artifact.figures["file"])


def _made_by_one(folder: Path, place: Path) -> Path:
    """Make it; of several processes at once one does, and the others wait for it."""
    from dilmac.export import GgufConfig, export_gguf

    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another dilmac is writing {place}; waiting for it")
        try:
            lock.acquire(timeout=WAIT_SECONDS)
        except Timeout as error:
            raise EngineError(
                f"another dilmac has not written it in {WAIT_SECONDS:.0f} s", where=place
            ) from error
    try:
        if file := _whole(place):
            return file
        _require_no_failure(place)
        say(f"first use of {folder.name}: writing it for llama.cpp into {place}")
        config = GgufConfig(model=folder, type=FILE_TYPE, out=place, **PROOF)
        try:
            artifact = export_gguf(config, force=True)
        except ParityError as error:
            _remember_failure(place, error.found)
            raise
        _failure_note(place).unlink(missing_ok=True)
        return artifact.path / str(artifact.figures["file"])
    finally:
        lock.release()


def _failure_note(place: Path) -> Path:
    """Beside the lock: why the proof failed, and with which versions."""
    return place.with_name(f".{place.name}.failed.json")


def _remember_failure(place: Path, reason: str) -> None:
    write_json(_failure_note(place), {"reason": reason, "versions": versions()})


def _require_no_failure(place: Path) -> None:
    """Do not repeat minutes of work whose end is known; other versions are tried anew.

    Raises:
        NoGgufError: with the reason of the time before.
    """
    note = _failure_note(place)
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        is_known = known["versions"] == versions()
        reason = known["reason"]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return
    if is_known:
        raise NoGgufError(f"{reason} (found before; it is tried again without {note})")
