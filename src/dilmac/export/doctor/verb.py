"""`dilmac doctor`: examine a model of any tool, and mend a copy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from dilmac.core import (
    Build,
    Figures,
    InputError,
    InputRecord,
    building,
    input_record,
    say,
    sha256_of,
)
from dilmac.export.doctor.config import DoctorConfig, MendConfig
from dilmac.export.doctor.copies import FolderCopy, GgufCopy
from dilmac.export.doctor.finding import Finding
from dilmac.export.doctor.folder import ModelFolder
from dilmac.export.doctor.gguf_file import GgufFile
from dilmac.export.doctor.prove import prove_folder, prove_gguf
from dilmac.export.doctor.registry import Subject, find
from dilmac.models import with_model_folder

MAX_ROUNDS = 3  # a mend may bring to light what another rule could not see before
MADE = "mended"


def examine_model(config: DoctorConfig, *, force: bool = False) -> Figures:
    """Findings of every rule, and with `fix` what was mended in the copy and what is left.

    Raises:
        InputError: nothing that can be examined, a damaged file, or `out` lies in the model.
        ParityError: a mended copy is not the model.
    """
    config = with_model_folder(config)
    source = _source_of(config.source)
    findings = _findings(config.model, source)
    figures: Figures = {"model": str(config.model), **_counted(findings)}
    if config.fix and config.out is not None:
        figures["mended"] = _mend(config, config.out, source, findings, force=force)
    return figures


def _counted(findings: list[tuple[str, Finding]]) -> Figures:
    faults = sum(finding.is_fault for _, finding in findings)
    listed = [{"file": name, **finding.figures()} for name, finding in findings]
    return {"faults": faults, "notes": len(findings) - faults, "findings": listed}


def _source_of(path: Path | None) -> ModelFolder | None:
    if path is None:
        return None
    if not path.is_dir():
        raise InputError("no such folder", where=f"--source {path}")
    return ModelFolder(path)


def subjects_of(path: Path, source: ModelFolder | None = None) -> list[Subject]:
    """What there is to look at: a folder, the GGUF files in it, or one GGUF.

    Raises:
        InputError: no model.
    """
    if path.is_file():
        return [GgufFile(path, source)]
    found: list[Subject] = []
    if (folder := ModelFolder(path, source)).is_there():
        found.append(folder)
    found += [GgufFile(file, source) for file in sorted(path.glob("*.gguf"))]
    if not found:
        raise InputError(
            "holds no model: no config.json, tokenizer, safetensors or GGUF",
            where=path,
            mend="give a model folder or a GGUF file",
        )
    return found


def _findings(path: Path, source: ModelFolder | None) -> list[tuple[str, Finding]]:
    return [
        (subject.path.name, finding)
        for subject in subjects_of(path, source)
        for finding in find(subject)
    ]


def _mend(
    config: DoctorConfig,
    out: Path,
    source: ModelFolder | None,
    findings: list[tuple[str, Finding]],
    *,
    force: bool,
) -> Figures:
    if not any(finding.fix for _, finding in findings):
        say("doctor: nothing that can be mended; no copy was made")
        return {"out": None, "left": sum(finding.is_fault for _, finding in findings)}
    settings = config.model_dump(exclude={"fix"}) | {"out": out}
    asked = MendConfig.model_validate(settings)
    if config.model.is_dir() and out.resolve().is_relative_to(config.model.resolve()):
        raise InputError("lies in the model", where=f"--out {out}", mend="give another folder")
    with building(MADE, asked, _inputs(asked), force=force) as build:
        if build.done:
            return build.done.figures
        return build.finish(_mended(asked, build, source)).figures


def _inputs(config: MendConfig) -> dict[str, list[InputRecord]]:
    places = {"model": config.model} | ({"source": config.source} if config.source else {})
    return {name: [_record(place)] for name, place in places.items()}


def _record(place: Path) -> InputRecord:
    """What the input holds now; an `artifact.json` in it may be of before it was harmed."""
    if place.is_file():
        return input_record(place)
    files = sorted(file for file in place.rglob("*") if file.is_file())
    listed = [f"{sha256_of(file)} {file.relative_to(place).as_posix()}\n" for file in files]
    digest = hashlib.sha256("".join(listed).encode()).hexdigest()
    size = sum(file.stat().st_size for file in files)
    return InputRecord(name=place.name, sha256=digest, num_bytes=size)


def _mended(config: MendConfig, build: Build, source: ModelFolder | None) -> Figures:
    """Make the copy, look at it again, and prove it."""
    proofs: Figures = {}
    made: list[str] = []
    left: list[Finding] = []
    if config.model.is_file():
        files = {config.model: build.path / config.model.name}
    else:
        copy = FolderCopy(config.model, build.path)
        if ModelFolder(copy.path).is_there():
            made, left = mend_folder(copy, source)
        if config.prove and copy.touched:
            proofs[config.model.name] = prove_folder(config.model, copy, config)
        files = {file: build.path / file.name for file in sorted(config.model.glob("*.gguf"))}
    for file, target in files.items():
        mends, others = mend_gguf(file, target, source)
        made += mends
        left += others
        if mends and config.prove:
            proofs[file.name] = prove_gguf(GgufFile(file, source), target, config)
    faults = [finding.figures() for finding in left if finding.is_fault]
    return {"mends": made, "proof": proofs, "left": len(faults), "findings_left": faults}


class Mended(NamedTuple):
    """What was mended, and what a last look found."""

    made: list[str]
    left: list[Finding]


def mend_folder(copy: FolderCopy, source: ModelFolder | None = None) -> Mended:
    """Apply every fix to a copy of a folder."""
    made: list[str] = []
    found = find(ModelFolder(copy.path, source))
    for _ in range(MAX_ROUNDS):
        done = _apply(found, copy)
        if not done:
            break
        made += done
        found = find(ModelFolder(copy.path, source))
    return Mended(made, found)


def mend_gguf(file: Path, target: Path, source: ModelFolder | None = None) -> Mended:
    """Write a GGUF anew with every fix; where nothing can be mended, nothing is written."""
    made: list[str] = []
    copy = GgufCopy(GgufFile(file, source))
    beside = copy.source.source  # of the original's folder, where the copy may lie alone
    found = find(copy.source)
    for number in range(MAX_ROUNDS):
        done = _apply(found, copy)
        if not done:
            break
        made += done
        part = target.with_name(f".{number}-{target.name}")
        copy.write(part)
        part.replace(target)
        copy = GgufCopy(GgufFile(target, beside))
        found = find(copy.source)
    return Mended(made, found)


def _apply(findings: list[Finding], copy: FolderCopy | GgufCopy) -> list[str]:
    """Mend what can be mended; what was done."""
    done = []
    for finding in findings:
        if finding.fix is not None:
            finding.fix(copy)
            done.append(f"{finding.where}: {finding.mend}")
    return done
