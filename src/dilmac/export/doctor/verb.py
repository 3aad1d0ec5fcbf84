"""`dilmac doctor`: examine a model of any tool, and mend a copy."""

from __future__ import annotations

import hashlib
from pathlib import Path

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
from dilmac.export.doctor.folder import MARKS, ModelFolder
from dilmac.export.doctor.gguf_file import GgufFile
from dilmac.export.doctor.prove import prove_folder, prove_gguf
from dilmac.export.doctor.registry import Subject, find

MAX_ROUNDS = 3  # a mend may bring to light what another rule could not see before
MADE = "mended"


def examine_model(config: DoctorConfig, *, force: bool = False) -> Figures:
    """Findings of every rule, and with `fix` what was mended in the copy and what is left.

    Raises:
        InputError: nothing that can be examined, or a damaged file.
        ConfigError: `out` lies in the model.
        ParityError: a mended copy is not the model.
    """
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
        InputError: nothing.
    """
    if path.is_file():
        return [GgufFile(path, source)]
    if not path.is_dir():
        raise InputError("no such file or folder", where=path)
    found: list[Subject] = []
    if any((path / name).is_file() for name in MARKS) or any(path.glob("*.safetensors")):
        found.append(ModelFolder(path, source))
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
    inside = config.model if config.model.is_dir() else config.model.parent
    if out.resolve().is_relative_to(inside.resolve()) and config.model.is_dir():
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
    """Make the copy, prove it, and look again."""
    proofs: Figures = {}
    made: list[str] = []
    if config.model.is_file():
        target = build.path / config.model.name
        made += mend_gguf(config.model, target, source)
        if config.prove:
            proofs[target.name] = prove_gguf(GgufFile(config.model, source), target, config)
    else:
        copy = FolderCopy(config.model, build.path)
        made += mend_folder(copy, source)
        if config.prove and copy.touched:
            proofs[config.model.name] = prove_folder(config.model, copy, config)
        for file in sorted(config.model.glob("*.gguf")):
            mends = mend_gguf(file, build.path / file.name, source)
            made += mends
            if mends and config.prove:
                original = GgufFile(file, source)
                proofs[file.name] = prove_gguf(original, build.path / file.name, config)
    left = _findings(build.path if config.model.is_dir() else target, source)
    return {"mends": made, "proof": proofs, "left": _counted(left)["faults"], **_left(left)}


def _left(findings: list[tuple[str, Finding]]) -> Figures:
    return {"findings_left": [finding.figures() for _, finding in findings if finding.is_fault]}


def mend_folder(copy: FolderCopy, source: ModelFolder | None = None) -> list[str]:
    """Apply every fix to a copy of a folder; what was done."""
    made: list[str] = []
    for _ in range(MAX_ROUNDS):
        done = _apply(find(ModelFolder(copy.path, source)), copy)
        if not done:
            break
        made += done
    return made


def mend_gguf(file: Path, target: Path, source: ModelFolder | None = None) -> list[str]:
    """Write a GGUF anew with every fix; what was done. Nothing is written where nothing was."""
    made: list[str] = []
    beside = GgufFile(file, source).source
    current = file
    for number in range(MAX_ROUNDS):
        copy = GgufCopy(GgufFile(current, beside))
        done = _apply(find(copy.source), copy)
        if not done:
            break
        made += done
        part = target.with_name(f".{number}-{target.name}")
        copy.write(part)
        if current != file:
            current.unlink()
        current = part
    if current != file:
        current.replace(target)
    return made


def _apply(findings: list[Finding], copy: FolderCopy | GgufCopy) -> list[str]:
    """Mend what can be mended; what was done."""
    done = []
    for finding in findings:
        if finding.fix is not None:
            finding.fix(copy)
            done.append(f"{finding.where}: {finding.mend}")
    return done
