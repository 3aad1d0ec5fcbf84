"""What a stage makes: a folder that the rest of the world can open, plus `artifact.json`.

A folder is written beside its place as `.NAME.partial` and renamed when it is whole, so a
folder that has its final name is complete, always. The same command on a complete artifact
does nothing; with other inputs or settings it refuses and names `--force`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dilmac.core.config import StageConfig
from dilmac.core.errors import ArtifactError, InputError, disk_full_explained
from dilmac.core.files import remove_whole, write_json
from dilmac.core.hashed import sha256_of
from dilmac.core.later import Later
from dilmac.core.locked import locked, make_folder
from dilmac.core.machine import machine, versions
from dilmac.core.progress import say
from dilmac.core.records import MANIFEST, REQUEST, FileRecord, InputRecord, digest_of, record_files

SCHEMA_VERSION = 1
Figures = dict[str, Any]


class Manifest(BaseModel):
    """The content of `artifact.json`. Everything outside `run` is the same on every repetition."""

    kind: str
    schema_version: int
    config: dict[str, Any]
    inputs: dict[str, list[InputRecord]]
    seed: int
    figures: Figures
    files: dict[str, FileRecord]
    digest: str
    run: dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A complete artifact folder and what `artifact.json` says of it."""

    path: Path
    manifest: Manifest

    @property
    def figures(self) -> Figures:
        return self.manifest.figures


@dataclass
class Build:
    """An artifact being made. Write into `path`, then `finish`.

    `done` is the complete artifact where nothing is left to do; `resumed` says that `path`
    holds what an interrupted run of the same request left there. `scratch` names the files and
    folders directly in `path` that are needed only until the artifact is whole. `hashes` takes the
    hex SHA-256 of files whose writer knows them (`HashedFile`), by their names; `input_hashes`
    those of input files that the block reads whole, by their paths (see `building`). `asked` gives
    the request: kind, settings and what the inputs hold.
    """

    path: Path
    out: Path
    asked: Callable[[], dict[str, Any]]
    seed: int
    scratch: Collection[str] = ()
    hashes: dict[str, str] = field(default_factory=dict)
    input_hashes: dict[Path, str] = field(default_factory=dict)
    done: Artifact | None = None
    resumed: bool = False
    started: float = field(default_factory=time.time)

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for. Waits until the inputs are hashed."""
        return self.asked()

    def finish(self, figures: Figures, **timings: Any) -> Artifact:
        """Write `artifact.json` and give the folder its final name.

        `figures` repeat exactly on a repeated run; `timings` (seconds, rates, device) need not.
        """
        files = record_files(self.path, without=self.scratch, hashes=self.hashes)
        manifest = Manifest(
            **self.request,
            seed=self.seed,
            figures=figures,
            files=files,
            digest=digest_of(files),
            run={
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "wall_seconds": round(time.time() - self.started, 3),
                **timings,
                "machine": machine(),
                "versions": versions(),
            },
        )
        write_json(self.path / MANIFEST, manifest.model_dump(mode="json"))
        _replace_folder(self.path, self.out)
        _sweep(self.out, self.scratch)  # last: until here a killed run goes on with what it has
        self.done = Artifact(self.out, manifest)
        return self.done


def _replace_folder(new: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.replace(old)
    new.replace(final)
    shutil.rmtree(old, ignore_errors=True)


def _sweep(folder: Path, scratch: Collection[str]) -> None:
    """Remove what was only needed until the artifact had its final name."""
    for path in (folder / REQUEST, *(folder / name for name in scratch)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def open_artifact(path: Path, kind: str | None = None) -> Artifact:
    """Read a complete artifact and check that its files are there with the recorded sizes.

    Raises:
        InputError: there is no such folder, or it is no artifact of that kind.
        ArtifactError: a file is missing or has another size.
    """
    if not path.is_dir():
        raise InputError("no such folder", where=path, mend=_how_to_make(kind))
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise InputError(
            f"no {MANIFEST} in it: not made by dilmac", where=path, mend=_how_to_make(kind)
        )
    try:
        manifest = Manifest.model_validate_json(manifest_path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ArtifactError(
            "damaged", where=manifest_path, mend="make the artifact again"
        ) from error
    if kind and manifest.kind != kind:
        raise InputError(
            f"holds a {manifest.kind}, not a {kind}", where=path, mend=_how_to_make(kind)
        )
    for name, record in manifest.files.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != record.num_bytes:
            found = "is missing" if not file.is_file() else "has another size than recorded"
            raise ArtifactError(found, where=file, mend="make the artifact again with --force")
    return Artifact(path, manifest)


def _how_to_make(kind: str | None) -> str | None:
    verbs = {"corpus": "dilmac corpus build", "tokenizer": "dilmac tokenizer train"}
    return f"make one with `{verbs[kind]}`" if kind in verbs else None


def input_record(path: Path, hashes: Mapping[Path, str] | None = None) -> InputRecord:
    """Name, content hash and size of an input: a file, an artifact, or any other folder.

    Files in `hashes`, by their paths, are not read.

    Raises:
        InputError: nothing is there.
    """
    known = dict(hashes or {})
    if path.is_file():
        sha256 = known.get(path) or sha256_of(path)
        return InputRecord(name=path.name, sha256=sha256, num_bytes=path.stat().st_size)
    if (path / MANIFEST).is_file():
        manifest = open_artifact(path).manifest
        files, digest = manifest.files, manifest.digest
    elif path.is_dir():
        inside = {file: sha256 for file, sha256 in known.items() if file.is_relative_to(path)}
        names = {file.relative_to(path).as_posix(): sha256 for file, sha256 in inside.items()}
        files = record_files(path, hashes=names)
        digest = digest_of(files)
    else:
        raise InputError("no such file or folder", where=path)
    size = sum(record.num_bytes for record in files.values())
    return InputRecord(name=path.name, sha256=digest, num_bytes=size)


def _asked(
    kind: str,
    config: StageConfig,
    inputs: Mapping[str, Sequence[Path | InputRecord]],
    hashes: Mapping[Path, str] | None,
) -> Callable[[], dict[str, Any]]:
    """What gives the request. The inputs are hashed in a thread of its own from now on; where
    somebody else fills in `hashes`, when they are asked for.

    Raises:
        InputError: an input is not there, or is a damaged artifact: said before any work.
    """
    known = {name: [_known(item) for item in items] for name, items in inputs.items()}

    def request() -> dict[str, Any]:
        return {
            "kind": kind,
            "schema_version": SCHEMA_VERSION,
            "config": config.record(set(inputs)),
            "inputs": {
                name: [_recorded(item, hashes).model_dump() for item in items]
                for name, items in known.items()
            },
        }

    return Later(request).result if hashes is None else cache(request)


def _known(item: Path | InputRecord) -> Path | InputRecord:
    """The record where nothing need be hashed for it, else the path."""
    if isinstance(item, InputRecord) or (item.exists() and not (item / MANIFEST).is_file()):
        return item
    return input_record(item)


def _recorded(item: Path | InputRecord, hashes: Mapping[Path, str] | None) -> InputRecord:
    return item if isinstance(item, InputRecord) else input_record(item, hashes)


@contextmanager
def building(
    kind: str,
    config: StageConfig,
    inputs: Mapping[str, Sequence[Path | InputRecord]],
    *,
    force: bool = False,
    resumable: bool = False,
    scratch: Collection[str] = (),
    hashes_inputs: bool = False,
) -> Iterator[Build]:
    """Make the artifact `config.out`, whole or not at all.

    The block looks at `build.done` first. `inputs` maps the Config's input fields to their
    files and folders, or to records of what is no file (a dataset on a hub). What a failed or
    killed block left is kept where the stage is `resumable` and wrote something, and removed
    otherwise. `scratch` names files and folders of the block that are removed once the artifact is
    whole: checkpoints. With `hashes_inputs` the block reads its large inputs whole and leaves their
    SHA-256 in `build.input_hashes`, so that they are read once; the others are hashed at the end.

    Raises:
        ArtifactError: `out` is in use, is no artifact, or was made from other inputs; or what was
            left is another version's.
        DiskFullError: the disk ran full.
    """
    out = config.out
    read: dict[Path, str] = {}
    request = _asked(kind, config, inputs, read if hashes_inputs else None)
    partial = out.with_name(f".{out.name}.partial")
    with locked(out), disk_full_explained(out):
        build = Build(partial, out, request, config.seed, scratch, input_hashes=read)
        build.done = None if force else _already_made(out, request)
        if build.done:
            _sweep(out, scratch)  # of a run that was killed when it already had its name
            say(f"{out}: complete, nothing to do")
            yield build
            return
        _refuse_foreign(out)
        if resumable:
            build.resumed = _go_on(partial, request(), force=force)
        else:
            _start_anew(partial)
        try:
            with disk_full_explained(out):  # looks at the disk before the room is freed below
                yield build
        except BaseException:
            if not resumable or not _holds_work(partial):
                shutil.rmtree(partial, ignore_errors=True)
            raise
        if build.done is None:
            raise AssertionError(f"{kind}: the block ended without build.finish()")


def _already_made(out: Path, asked: Callable[[], dict[str, Any]]) -> Artifact | None:
    if not (out / MANIFEST).is_file():
        return None
    artifact, request = open_artifact(out), asked()
    there = artifact.manifest.model_dump(mode="json", include=set(request))
    differences = list(_differences(there, request))
    if not differences:
        return artifact
    raise ArtifactError(
        f"was made with other inputs or settings ({'; '.join(differences[:3])})",
        where=out,
        mend="choose another --out, or give --force to make it again",
    )


def _differences(there: Any, here: Any, name: str = "") -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted(there.keys() | here.keys()):
            yield from _differences(there.get(key), here.get(key), f"{name}.{key}".lstrip("."))
    elif there != here and name.startswith("inputs."):
        yield f"{name.removeprefix('inputs.')} has other content"
    elif there != here:
        yield f"{name.removeprefix('config.')} was {there!r}, now {here!r}"


def _refuse_foreign(out: Path) -> None:
    if out.is_file():
        raise ArtifactError("is a file", where=out, mend="give a folder's name to --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise ArtifactError(
            "is not empty and was not made by dilmac",
            where=out,
            mend="choose another --out; nothing there was touched",
        )


def _start_anew(partial: Path) -> None:
    remove_whole(partial)
    make_folder(partial)


def _go_on(partial: Path, request: dict[str, Any], *, force: bool) -> bool:
    """Lay out the partial folder; true where an interrupted run of this request goes on."""
    left = partial / REQUEST
    mine = request | {"made_by": versions().get("dilmac", "")}
    if not force and left.is_file() and _holds_work(partial):
        try:
            there = json.loads(left.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            there = None
        if there == mine:
            return True
        if isinstance(there, dict):
            raise _of_another_run(partial, there, mine)
    _start_anew(partial)
    write_json(left, mine)
    return False


def _holds_work(partial: Path) -> bool:
    """Whether anything but the request is in it: a run refused at once leaves no more to lose."""
    return partial.is_dir() and any(path.name != REQUEST for path in partial.iterdir())


def _of_another_run(partial: Path, there: dict[str, Any], mine: dict[str, Any]) -> ArtifactError:
    """What is left may be days of work: only the user throws it away."""
    made_by = there.get("made_by")
    if made_by != mine["made_by"]:  # which may lay out its folder or compute otherwise
        return ArtifactError(
            f"holds an interrupted run of dilmac {made_by}, this is {mine['made_by']}",
            where=partial,
            mend=f"go on with dilmac {made_by}, or give --force to start anew",
        )
    differences = "; ".join(list(_differences(there, mine))[:3])
    return ArtifactError(
        f"holds an interrupted run with other inputs or settings ({differences})",
        where=partial,
        mend="repeat that run's command to go on with it, or give --force to start anew",
    )
