"""The verbs `dilmac export …`. They parse, call, and print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from dilmac.core import Artifact, Figures
from dilmac.export import (
    AdapterConfig,
    CompressedConfig,
    GgufConfig,
    OllamaConfig,
    OnnxConfig,
    VerifyConfig,
)

Flat = Parameter(name="*")
Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
Show = Callable[[Artifact | Figures, bool], None]

EXPORT_CONFIGS = (
    AdapterConfig,
    CompressedConfig,
    GgufConfig,
    OllamaConfig,
    OnnxConfig,
    VerifyConfig,
)


class VerifyFlags(VerifyConfig):
    """VerifyConfig's flags: its folder stands on the command line without a name."""

    folder: Annotated[Path, Parameter(parse=False, show=False)] = Path()


def export_app(show: Show) -> App:
    """The group `dilmac export`; `show` prints a result, as JSON where that is asked for."""
    export = App(name="export", help="Write a model for another runtime, with proof.")
    _add_models(export, show)
    _add_adapter_and_proof(export, show)
    return export


def _add_models(export: App, show: Show) -> None:
    """The verbs that write whole models."""

    @export.command
    def gguf(
        *, config: Annotated[GgufConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """One GGUF file for llama.cpp, proved to give the same ids and log-probabilities.

        Example: `dilmac export gguf --model chat --type q8_0 --out gguf`
        """
        from dilmac.export import export_gguf

        show(export_gguf(config, force=force), as_json)

    @export.command
    def ollama(
        *, config: Annotated[OllamaConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """A GGUF with its proof and a Modelfile for Ollama, and the two commands to run it.

        Example: `dilmac export ollama --model chat --type q8_0 --out ollama`
        """
        from dilmac.export import export_ollama

        show(export_ollama(config, force=force), as_json)

    @export.command
    def onnx(
        *, config: Annotated[OnnxConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """An ONNX graph with its cache for ONNX Runtime, with its proof.

        Example: `dilmac export onnx --model chat --type int8 --out chat-onnx`
        """
        from dilmac.export import export_onnx

        show(export_onnx(config, force=force), as_json)

    @export.command
    def compressed(
        *, config: Annotated[CompressedConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """Compressed safetensors for vLLM, SGLang and transformers, with their proof.

        Example: `dilmac export compressed --model chat --type w4a16 --out chat-w4a16`
        """
        from dilmac.export import export_compressed

        show(export_compressed(config, force=force), as_json)


def _add_adapter_and_proof(export: App, show: Show) -> None:
    """The verb that writes an adapter, and the one that repeats a proof."""

    @export.command
    def adapter(
        *, config: Annotated[AdapterConfig, Flat], force: Force = False, as_json: Json = False
    ) -> None:
        """A LoRA adapter as a GGUF that llama.cpp lays over its base, with its proof.

        Example: `dilmac export adapter --model base --adapter chat/adapter --out adapter`
        """
        from dilmac.export import export_adapter

        show(export_adapter(config, force=force), as_json)

    @export.command
    def verify(folder: Path, *, flags: Annotated[VerifyFlags, Flat], as_json: Json = False) -> None:
        """Repeat the proof of an export: its files' hashes, ids, log-probabilities.

        Example: `dilmac export verify gguf --model chat`

        Parameters
        ----------
        folder
            what `dilmac export gguf`, `ollama`, `onnx`, `compressed` or `adapter` made
        """
        from dilmac.export import verify_export

        show(verify_export(VerifyConfig(**{**flags.model_dump(), "folder": folder})), as_json)
