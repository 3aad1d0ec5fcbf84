"""Settings of `dilmac chat` and `dilmac serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from dilmac.core import Config, EngineError, InputError, say
from dilmac.engines import (
    CHAT_REPETITION_PENALTY,
    EngineSpec,
    Precision,
    PresetName,
    Sampling,
    UpstreamSpec,
    engine_for,
    upstream_spec,
    with_preset,
)
from dilmac.models import DEFAULT_MODEL, is_shipped, model_folder
from dilmac.serve.first_use import NoGgufError, shipped_gguf


class RunningConfig(Config):
    """Which model runs in which engine, or elsewhere."""

    model: Path = Field(
        Path(DEFAULT_MODEL),
        description="model folder, GGUF file, folder with a GGUF, or a name that ships",
    )
    engine: Literal["auto", "transformers", "llamacpp", "onnx"] = Field(
        "auto",
        description="what runs it; auto takes llama.cpp for a GGUF and for what ships, ONNX "
        "Runtime for what `dilmac export onnx` made",
    )
    adapter: Path | None = Field(
        None,
        description="LoRA adapter that llama.cpp lays over the model: a GGUF, or the folder that "
        "`dilmac export adapter` made",
    )
    context: int | None = Field(None, ge=8, description="window [tokens]; the model's by default")
    precision: Precision = Field(
        "auto",
        description="type of the weights in transformers; auto takes bf16 on a GPU and on a CPU "
        "that multiplies in it, else fp32",
    )
    upstream: str | None = Field(
        None,
        description="address of an OpenAI-compatible server that runs the model instead, such as "
        "http://127.0.0.1:11434/v1",
    )
    upstream_model: str | None = Field(
        None,
        min_length=1,
        description="the model's name there; the only one that it lists by default",
    )
    upstream_key_variable: str | None = Field(
        None,
        min_length=1,
        description="environment variable that holds the key for it; without, none is sent",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        given = self.model_fields_set
        if self.upstream is not None:
            here = [name for name in RunningConfig.model_fields if not name.startswith("upstream")]
            wrong = [name for name in here if name in given]
            reason = "does not go with --upstream, where the model runs elsewhere"
        else:
            wrong = [name for name in given if name.startswith("upstream_")]
            reason = "needs --upstream, the address of a server"
        if wrong:
            raise ValueError(f"--{min(wrong).replace('_', '-')} {reason}")
        return self

    def upstream_spec(self) -> UpstreamSpec | None:
        """The upstream that runs the model; None where an engine here does.

        Raises:
            ConfigError: its address is none, or the variable of its key is empty.
        """
        if self.upstream is None:
            return None
        return upstream_spec(self.upstream, self.upstream_model, self.upstream_key_variable)

    def engine_spec(self) -> EngineSpec:
        """Which engine runs which file.

        A model that ships becomes a GGUF at first use; where that cannot be, transformers runs
        it, and why is said; and where what is asked for is transformers' own.

        Raises:
            ConfigError: a precision for an engine that takes the file's own, or an adapter for one
                that takes none.
            InputError: there is no such model, or no GGUF in the adapter's folder.
            EngineError: llama.cpp is asked for, and cannot run a model that ships.
        """
        folder = model_folder(self.model)
        spec = engine_for(folder)
        if is_shipped(folder) and self.engine != "onnx" and not self._wants_transformers():
            spec = self._shipped_spec(folder, spec)
        kind = spec.kind if self.engine == "auto" else self.engine
        return EngineSpec(
            kind=kind,
            model=spec.model,
            adapter=self._adapter_file(),
            context=self.context,
            precision=self.precision,
        )

    def _adapter_file(self) -> Path | None:
        if self.adapter is None or not self.adapter.is_dir():
            return self.adapter
        found = sorted(self.adapter.glob("*.gguf"))
        if not found:
            raise InputError(
                "no GGUF in it", where=self.adapter, mend="make one with `dilmac export adapter`"
            )
        return found[0]

    def _wants_transformers(self) -> bool:
        """Whether a model that ships needs no GGUF: another engine cannot do what is asked for."""
        if self.engine == "auto":
            return self.precision != "auto"
        return self.engine == "transformers"

    def _shipped_spec(self, folder: Path, without: EngineSpec) -> EngineSpec:
        try:
            return engine_for(shipped_gguf(folder))
        except NoGgufError as error:
            if self.engine == "llamacpp":
                raise EngineError(
                    f"cannot run in llama.cpp: {error}",
                    where=folder.name,
                    mend="leave --engine out, and transformers runs it",
                ) from error
            say(f"{folder.name} runs in transformers: {error}")
            return without


class ChatConfig(RunningConfig):
    """Talk to a model in the terminal."""

    system: str = Field("", description="system message; none by default")
    say: str | None = Field(None, description="ask this once, print the answer, and end")
    max_tokens: int = Field(200, ge=1, description="longest answer [tokens]")
    preset: PresetName | None = Field(
        None,
        description="deterministic (always the most probable token), creative or beam (the most "
        "probable of four answers); settings given beside it win",
    )
    temperature: float = Field(
        0.7, ge=0, le=5, description="0 always takes the most probable token"
    )
    top_k: int = Field(40, ge=0, description="only the k most probable tokens; 0 takes all")
    top_p: float = Field(0.95, gt=0, le=1, description="only the most probable tokens of this mass")
    repetition_penalty: float = Field(
        CHAT_REPETITION_PENALTY,
        ge=1,
        le=2,
        description="makes tokens that were there before less probable; 1 leaves them",
    )
    seed: int = Field(
        42, ge=0, lt=2**31, description="seed of the first answer; each turn adds one"
    )

    def _wants_transformers(self) -> bool:
        return super()._wants_transformers() or (self.engine == "auto" and self.preset == "beam")

    def sampling(self, turn: int) -> Sampling:
        """How the answer of a turn (from 0) is drawn; stops are the session's to add."""
        choices = ("temperature", "top_k", "top_p", "repetition_penalty")
        defaults = {name: getattr(self, name) for name in choices}
        if self.upstream and "repetition_penalty" not in self.model_fields_set:
            del defaults["repetition_penalty"]  # the upstream's own holds
        given: dict[str, Any] = {
            name: value for name, value in defaults.items() if name in self.model_fields_set
        }
        return Sampling(
            max_tokens=self.max_tokens,
            seed=self.seed + turn,
            logprobs=False,
            **{**defaults, **with_preset(self.preset, given)},
        )


class ServeConfig(RunningConfig):
    """Serve a model over HTTP as OpenAI does, to this machine only."""

    port: int = Field(8000, ge=0, le=65535, description="port on 127.0.0.1; 0 takes a free one")
    name: str | None = Field(
        None,
        min_length=1,
        description="what requests call the model; the name of its folder or file by default",
    )
    slots: int = Field(
        4, ge=1, le=256, description="requests that are answered at once, each with all the context"
    )
    max_waiting: int = Field(
        64, ge=0, description="requests that may wait in line; the next one is told to come later"
    )

    upstream_requests: int = Field(
        16, ge=1, description="requests that an upstream answers at once; the others wait in line"
    )

    def engine_spec(self) -> EngineSpec:
        return super().engine_spec().model_copy(update={"slots": self.slots})

    @property
    def served_name(self) -> str:
        """The model's name in requests and answers."""
        return self.name or self.model.name.removesuffix(".gguf") or self.model.resolve().name
