"""`dilmac export verify`: the proof of an export once more, on its files as they are now."""

from __future__ import annotations

from typing import Any

from dilmac.core import (
    Artifact,
    Figures,
    InputError,
    ParityError,
    input_record,
    open_artifact,
    sha256_of,
)
from dilmac.export.adapter import prove_adapter
from dilmac.export.compressed import prove_compressed
from dilmac.export.config import (
    AdapterConfig,
    CompressedConfig,
    GgufConfig,
    OllamaConfig,
    OnnxConfig,
    ProofConfig,
    VerifyConfig,
)
from dilmac.export.importable import copied_files
from dilmac.export.onnx import prove_onnx
from dilmac.export.parity import prove
from dilmac.models import require_model_folder, with_model_folder

ADAPTER = "adapter-gguf"
CONFIGS: dict[str, type[ProofConfig]] = {
    ADAPTER: AdapterConfig,
    "gguf": GgufConfig,
    "ollama": OllamaConfig,
    "onnx": OnnxConfig,
    "compressed": CompressedConfig,
}
AGAIN = "export it again"


def verify_export(config: VerifyConfig) -> Figures:
    """Compare the files with `artifact.json`, then ids and log-probabilities with the model.

    Raises:
        InputError: no export of ours, or no model folder.
        ArtifactError: a file is missing or has another size.
        ParityError: a file's content, an id or a log-probability differs.
    """
    config = with_model_folder(config)
    require_model_folder(config.model)
    artifact = open_artifact(config.folder)
    kind = artifact.manifest.kind
    if kind not in CONFIGS:
        raise InputError(
            f"holds a {kind}, no export", where=config.folder, mend="give a folder of an export"
        )
    _require_same_bytes(artifact)
    figures: Figures = {
        "files": len(artifact.manifest.files),
        "same_source": _is_of(artifact, config),
    }
    if artifact.figures.get("weights") == "folder":
        _require_copies(artifact, config)
        return {**figures, "parity": "the model folder's own files, converted by Ollama itself"}
    parity = _proved_again(artifact, config)
    is_repeated = parity == artifact.figures["parity"]
    return {**figures, "same_figures": is_repeated, "parity": parity}


def _proved_again(artifact: Artifact, config: VerifyConfig) -> Figures:
    """The proof of the export, with its own settings."""
    given: dict[str, Any] = {"model": config.model, "out": config.folder}
    if config.text is not None:
        given |= {"text": config.text}
    if artifact.manifest.kind == ADAPTER:
        if config.adapter is None:
            raise InputError(
                "is missing: the folder that the adapter was made from", where="--adapter"
            )
        given |= {"adapter": config.adapter}
    made_by = CONFIGS[artifact.manifest.kind].from_mapping(
        {**artifact.manifest.config, **given}, where=str(config.folder / "artifact.json")
    )
    file = config.folder / artifact.figures["file"]
    if isinstance(made_by, OnnxConfig):
        return prove_onnx(made_by, config.folder)
    if isinstance(made_by, CompressedConfig):
        return prove_compressed(made_by, config.folder)
    if isinstance(made_by, AdapterConfig):
        return prove_adapter(made_by, file)
    return prove(made_by, file)


def _require_same_bytes(artifact: Artifact) -> None:
    for name, record in artifact.manifest.files.items():
        if sha256_of(artifact.path / name) != record.sha256:
            raise ParityError(
                "other bytes than artifact.json records", where=artifact.path / name, mend=AGAIN
            )


def _is_of(artifact: Artifact, config: VerifyConfig) -> bool:
    """Whether the model folder holds what it held when the export was made."""
    recorded = artifact.manifest.inputs["model"][0].sha256
    return input_record(config.model).sha256 == recorded


def _require_copies(artifact: Artifact, config: VerifyConfig) -> None:
    """Of a folder that Ollama converts, every file is the model folder's own."""
    files = artifact.manifest.files
    for name in copied_files(config.model):
        if name not in files or sha256_of(config.model / name) != files[name].sha256:
            raise ParityError(
                "is another file than the export's", where=config.model / name, mend=AGAIN
            )
