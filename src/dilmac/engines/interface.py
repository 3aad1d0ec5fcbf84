"""What every engine takes and gives, on both sides of the socket.

Messages are JSON objects, one a line, over a loopback socket that the child opens with a one-time
key. To the child: `generate`, `cancel`, `tokenize`, `detokenize`, `score`, `logprobs`. From it:
`ready`, `reading`, `token`, `done`, `result`, `error`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from dilmac.core import Config, ConfigError, InputError

EngineKind = Literal["transformers", "llamacpp", "onnx"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8", "bnb8", "bnb4"]

KEY_VARIABLE = "DILMAC_ENGINE_KEY"
MAX_DEFAULT_CONTEXT = 8192  # a model's own may be 262,144, with a cache of gigabytes [tokens]


class EngineSpec(Config):
    """Which engine runs which model."""

    kind: EngineKind
    model: Path
    adapter: Path | None = Field(
        None, description="llama.cpp: a LoRA adapter as GGUF, laid over it"
    )
    context: int | None = Field(None, ge=8, description="window [tokens]; the model's by default")
    threads: int | None = Field(
        None, ge=1, description="threads; all usable cores, half of them for llama.cpp"
    )
    precision: Precision = Field("auto", description="transformers: type of the weights")
    slots: int = Field(1, ge=1, le=256, description="requests that are answered at once")
    exact: bool = Field(False, description="llama.cpp: keys and values in f32 instead of f16")

    @model_validator(mode="after")
    def _only_where_it_is_ours_to_choose(self) -> Self:
        if self.precision != "auto" and self.kind != "transformers":
            raise ConfigError(
                f"{self.precision} is not for {self.kind}: the file's own type decides",
                where="--precision",
                mend="take --engine transformers with a model folder, or a file of another type",
            )
        if self.adapter and self.kind != "llamacpp":
            raise ConfigError(
                f"{self.kind} takes no adapter",
                where="--adapter",
                mend="give the model as a GGUF, or merge both with `dilmac adapters merge`",
            )
        return self


class Sampling(Config):
    """How the next token is chosen. Temperature 0 takes the most probable one."""

    max_tokens: int = Field(256, ge=1, description="tokens to generate at most [tokens]")
    temperature: float = Field(0.7, ge=0, le=5, description="0 is greedy")
    top_k: int = Field(40, ge=0, description="only the k most probable tokens; 0 takes all")
    top_p: float = Field(0.95, gt=0, le=1, description="only the most probable tokens of this mass")
    repetition_penalty: float = Field(
        1.0,
        ge=1,
        le=2,
        description="divides the logits of tokens that stand in the prompt or the answer already "
        "(multiplies negative ones); 1 leaves them",
    )
    seed: int = Field(42, ge=0, lt=2**32, description="seed of the choice")
    num_beams: int = Field(
        1, ge=1, le=16, description="answers that a beam search follows at once; 1 is none"
    )
    logprobs: bool = Field(
        True,
        description="the model's log-probability of each token; without, an engine may give the "
        "draw's own instead, which llama.cpp has at hand",
    )
    stop_ids: tuple[int, ...] = Field(
        (), description="ids that end the answer and are not given out"
    )

    @model_validator(mode="after")
    def _beams_are_not_drawn(self) -> Self:
        if self.num_beams > 1 and self.temperature > 0:
            raise InputError(
                f"a beam search takes the most probable answer, temperature {self.temperature:g} "
                "draws one",
                where="temperature",
                mend="leave it out, or leave the beams out",
            )
        if self.num_beams > 1 and self.repetition_penalty > 1:
            raise InputError(
                "a beam search has no repetition penalty",
                where="repetition_penalty",
                mend="leave it out, or leave the beams out",
            )
        return self


def require_beams(kind: EngineKind, sampling: Sampling) -> None:
    """
    Raises:
        InputError: a beam search in an engine that has none.
    """
    if sampling.num_beams > 1 and kind != "transformers":
        raise InputError(
            f"{kind} has no beam search",
            where="num_beams",
            mend="take the preset deterministic, or a model folder with --engine transformers",
        )


def require_ids(ids: list[int], context: int, num_rows: int) -> None:
    """
    Raises:
        InputError: none, more than the context holds, or one outside the vocabulary.
    """
    if not ids or len(ids) > context:
        raise InputError(
            f"{len(ids)} tokens in a context of {context}", mend="shorten the conversation"
        )
    if not 0 <= min(ids) <= max(ids) < num_rows:
        raise InputError(f"an id outside the vocabulary of {num_rows}")


class Token(Config):
    """One generated token and the model's log-probability for it [nats]."""

    id: int
    logprob: float


FinishReason = Literal["stop", "length", "cancelled"]

READING: Literal["reading"] = "reading"  # a sign of life while a long prompt is read
Progress = FinishReason | Literal["reading"]


class Backend(Protocol):
    """What an engine implements inside its process. Every method may be called from a thread."""

    def facts(self) -> dict[str, Any]:
        """Context [tokens], vocabulary size, and the control tokens with their ids."""
        ...

    def generate(
        self, prompt: list[int], sampling: Sampling, is_cancelled: Any
    ) -> Iterator[Token | Progress]:
        """Tokens one by one, and why it ended as the last item; before the first token `READING`
        now and then. `is_cancelled` is looked at between all of them."""
        ...

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Ids of texts as content: no control token is read into them."""
        ...

    def detokenize(self, ids: list[int]) -> str:
        """Text of ids, control tokens left out."""
        ...

    def score(self, ids: list[int], top: int) -> list[list[tuple[int, float]]]:
        """For every position but the last, teacher-forced: the `top` next tokens and their
        log-probabilities, most probable first. Item i predicts `ids[i + 1]`."""
        ...

    def logprobs(self, rows: list[tuple[list[int], int]]) -> list[list[tuple[float, bool]]]:
        """Log-probabilities of given tokens, teacher-forced [nats], and whether each is the most
        probable one. Of a row `(ids, start)` those of `ids[start:]`; `start` is 1 at least."""
        ...


def engine_for(model: Path) -> EngineSpec:
    """The engine that a path asks for: llama.cpp for a GGUF (or a folder with one), ONNX Runtime
    for a folder with a `model.onnx`, else transformers.

    Raises:
        InputError: nothing is there, or neither a GGUF nor a model folder.
    """
    if model.is_file() and model.suffix == ".gguf":
        return EngineSpec(kind="llamacpp", model=model)
    if model.is_dir():
        ggufs = sorted(model.glob("*.gguf"))
        if ggufs:
            return EngineSpec(kind="llamacpp", model=ggufs[0])
        if (model / "model.onnx").is_file():
            return EngineSpec(kind="onnx", model=model)
        if (model / "config.json").is_file():
            return EngineSpec(kind="transformers", model=model)
    found = "is neither a GGUF nor a model folder" if model.exists() else "no such model"
    raise InputError(found, where=model, mend="give a folder with config.json, or a .gguf")
