"""What a run recorded of itself. What it did not record is None, never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import Artifact, Figures, InputError, open_artifact, read_events

KINDS = ("model", "classifier")
WEIGHTS = "*.safetensors"


def open_run(folder: Path) -> Artifact:
    """The artifact of a trained model.

    Raises:
        InputError: there is none, or it holds something else.
    """
    artifact = open_artifact(folder)
    if artifact.manifest.kind not in KINDS:
        raise InputError(
            f"holds a {artifact.manifest.kind}, no trained model",
            where=folder,
            mend="give folders of `dilmac finetune`, `classify train`, `pretrain` or `heal`",
        )
    return artifact


def recorded(artifact: Artifact, name: str) -> Figures:
    """The row of a run, with what it recorded and what its folder weighs."""
    manifest, figures = artifact.manifest, artifact.figures
    f1, part = _f1(figures)
    model = manifest.inputs.get("model") or []
    return {
        "run": name,
        "kind": manifest.kind,
        "base": model[0].name if model else None,
        "method": manifest.config.get("method"),
        "trainable_parameters": figures.get("trainable_parameters"),
        "total_parameters": figures.get("total_parameters", figures.get("parameters")),
        "train_seconds": _train_seconds(manifest.run),
        "peak_memory_bytes": _peak_memory(artifact),
        "weights_bytes": _size(artifact.path, WEIGHTS),
        "adapter_bytes": _size(artifact.path / "adapter", WEIGHTS) or None,
        "validation_loss": figures.get("validation_loss"),
        "f1_macro": f1,
        "f1_part": part,
        "bits_per_byte": figures.get("heldout_bits_per_byte"),
    }


def _f1(figures: Figures) -> tuple[float | None, str | None]:
    """Macro F1 of the test part, or of validation where there was no test."""
    for part in ("test", "validation"):
        found = figures.get(part)
        if isinstance(found, dict) and "f1_macro" in found:
            return found["f1_macro"], part
    return None, None


def _train_seconds(run: dict[str, Any]) -> float | None:
    """Of a run that was interrupted only the last part was timed: that says nothing."""
    return None if run.get("resumed_at_step") else run.get("train_seconds")


def _peak_memory(artifact: Artifact) -> int | None:
    """As recorded at the end, or else in the steps' events [bytes]."""
    found = artifact.manifest.run.get("peak_memory_bytes")
    if found:
        return int(found)
    events = artifact.path / "events.jsonl"
    if not events.is_file():
        return None
    return max(
        (e["memory_bytes"] for e in read_events(events) if e.get("memory_bytes")), default=None
    )


def _size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


def data_of(artifact: Artifact) -> tuple[Any, ...]:
    """What decides which texts a run was measured on."""
    manifest = artifact.manifest
    inputs = {
        name: [record.sha256 for record in manifest.inputs.get(name, [])]
        for name in ("data", "validation", "test", "corpus")
    }
    shares = [manifest.config.get(name) for name in ("validation_percent", "test_percent")]
    return (str(inputs), str(shares))
