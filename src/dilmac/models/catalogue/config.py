"""Settings of `dilmac models list`, `show` and `suggest`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dilmac.core import Config
from dilmac.models.catalogue.entries import Task
from dilmac.models.running import KvType

Device = Literal["cpu", "cuda"]


class ListConfig(Config):
    """The models of the catalogue."""

    task: Task | None = Field(
        None, description="only models for this: text, code, math, vision, audio"
    )
    license: str | None = Field(
        None, description="only models of this license: apache-2.0, qwen, qwen-research, unknown"
    )
    family: str | None = Field(None, description="only this family (qwen2.5-coder, qwen3, ...)")


class RunningConfig(Config):
    """How a model is to run."""

    slots: int = Field(1, ge=1, description="conversations at once, each with its own context")
    kv_type: KvType = Field("f16", description="numbers of the KV cache: f16, q8_0, q4_0")


class ShowConfig(RunningConfig):
    """All that is known of a model, and the memory it needs."""

    model: str = Field(description="name in the catalogue or on the hub, or a local model folder")
    context: str | None = Field(
        None, description="tokens of a conversation; 8k, or the model's own where it is shorter"
    )


class SuggestConfig(RunningConfig):
    """The model that fits, and why the others do not."""

    memory: str = Field(description="memory that the model may take (8GB, 7.5GiB)")
    context: str = Field("8k", description="tokens of a conversation (8k is 8,192)")
    task: Task = Field("text", description="what it is for: text, code, math, vision, audio")
    device: Device = Field("cpu", description="where it runs: cpu, cuda")
    license: str | None = Field(None, description="only models of this license (apache-2.0, ...)")
