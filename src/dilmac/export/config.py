"""Settings of `dilmac export gguf`, `ollama`, `onnx`, `compressed`, `adapter` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from dilmac.core import Config, StageConfig

GgufType = Literal["f32", "f16", "bf16", "q8_0", "q4_k_m", "q5_k_m", "q6_k"]
OnnxType = Literal["fp32", "int8", "int4"]


class ProofConfig(StageConfig):
    """What every export has: the model, how it is stored, and what the proof compares."""

    model: Path = Field(description="model folder")
    type: str = Field(description="how matrices are stored")
    text: tuple[str, ...] = Field(
        (), description="real text for the parity proof; the bundled sample by default"
    )
    text_field: str = Field("text", description="field that holds the text in JSONL and parquet")
    num_lines: int = Field(1000, ge=1, description="lines of real text whose ids are compared")
    num_fuzz: int = Field(2000, ge=1, description="made-up strings whose ids are compared")
    num_positions: int = Field(
        2000, ge=1, description="positions whose log-probabilities are compared, teacher-forced"
    )


class GgufConfig(ProofConfig):
    """Write a model as one GGUF file for llama.cpp and everything built on it."""

    model: Path = Field(description="model folder (Llama, Mistral, Qwen2, Qwen3 or Qwen3-MoE)")
    type: GgufType = Field(
        "f16",
        description="how matrices are stored; q4_k_m, q5_k_m and q6_k need llama-cpp-python",
    )
    quantize_python: Path | None = Field(
        None,
        description="python of an environment with llama-cpp-python, for q4_k_m, q5_k_m and q6_k; "
        "this one by default",
    )
    importance_tokens: int = Field(
        8192,
        ge=0,
        description="tokens of real text, from its end, that say which columns count in q4_k_m, "
        "q5_k_m and q6_k; 0: all alike [tokens]",
    )

    def record(self, inputs: set[str]) -> dict[str, Any]:
        """Settings without places: also not where llama-cpp-python stands on this machine."""
        return super().record(inputs | {"quantize_python"})


class OnnxConfig(ProofConfig):
    """Write a model as an ONNX graph with its cache, for ONNX Runtime."""

    model: Path = Field(description="model folder (Llama, Mistral, Qwen2 or Qwen3)")
    type: OnnxType = Field(
        "fp32",
        description="how matrices are stored; of int8 and int4 each 32 weights share a scale",
    )


class CompressedConfig(ProofConfig):
    """Write a model as compressed safetensors for vLLM, SGLang and transformers."""

    model: Path = Field(description="model folder (Llama, Mistral, Qwen2 or Qwen3)")
    type: Literal["w4a16", "w8a8"] = Field(
        "w4a16",
        description="how matrices are stored: 4 bits, of which 128 share a scale, or 8 bits, which "
        "are multiplied in int8",
    )


class AdapterConfig(ProofConfig):
    """Write a LoRA adapter as a GGUF for llama.cpp."""

    model: Path = Field(description="model folder that the adapter was trained on")
    adapter: Path = Field(description="adapter as peft writes it: adapter/ of a fine-tuned model")
    type: Literal["f32", "f16"] = Field("f16", description="how its matrices are stored")


class OllamaConfig(GgufConfig):
    """Write a model and its Modelfile for Ollama."""

    weights: Literal["gguf", "folder"] = Field(
        "gguf",
        description="what FROM names: a GGUF that is proved here, or the folder's safetensors, "
        "which Ollama converts itself (Llama and Qwen2)",
    )
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)*(:[\w.-]+)?$",
        description="what the model is to be called in Ollama; the model folder's name by default",
    )
    system: str | None = Field(
        None,
        description="system message; by default the one that the folder's own chat template adds, "
        "if any",
    )
    context: int | None = Field(
        None,
        ge=8,
        description="num_ctx, the window that Ollama opens [tokens]; the model's by default, "
        "8,192 at most",
    )


class VerifyConfig(Config):
    """Repeat the proof of an export."""

    folder: Path = Field(
        description="what `dilmac export gguf`, `ollama`, `onnx`, `compressed` or `adapter` made"
    )
    model: Path = Field(description="model folder that it was made from")
    adapter: Path | None = Field(
        None, description="of an exported adapter: the folder that it was made from"
    )
    text: tuple[str, ...] | None = Field(
        None, description="real text for the proof; that of the export by default"
    )
