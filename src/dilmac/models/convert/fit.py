"""Whether tensors fit a model, name by name, and the model with them in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dilmac.core import Figures, InputError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    Tensors = dict[str, torch.Tensor]


@dataclass
class Fit:
    """What does not fit: names of the model, names of the weights, and shapes (weights, model)."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mis_shaped: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)

    def faults(self) -> Figures:
        return {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mis_shaped": {
                name: {"weights": weights, "model": model}
                for name, (weights, model) in self.mis_shaped.items()
            },
        }


@dataclass(frozen=True)
class Frame:
    """A model of a config without weights: its names and shapes, and which two are one table."""

    shapes: Mapping[str, tuple[int, ...]]
    table: str  # name of the embedding
    tied: str | None  # name of the output matrix where it is the embedding


def frame_of(config: Any) -> Frame:
    """Names and shapes of a model of `config`, made without memory.

    Raises:
        InputError: transformers has no causal language model of that type or shape.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"no causal language model of type {config.model_type} and that shape ({reason})",
            where="--config",
        ) from error
    modules = {id(module): name for name, module in model.named_modules()}
    output = modules.get(id(model.get_output_embeddings()), "")
    return Frame(
        shapes={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
        table=f"{modules[id(model.get_input_embeddings())]}.weight",
        tied=f"{output}.weight" if config.tie_word_embeddings and output else None,
    )


def tie(tensors: Tensors, frame: Frame) -> str | None:
    """Make one of the two tables of a tied model; returns what there was.

    Raises:
        InputError: both are there and differ.
    """
    import torch

    if frame.tied is None:
        return None
    output = tensors.pop(frame.tied, None)
    if output is None:
        return "the output matrix is the embedding; the weights hold it once"
    if frame.table not in tensors:
        tensors[frame.table] = output
        return "the embedding is the output matrix; the weights hold it once"
    if not torch.equal(tensors[frame.table], output):
        raise InputError(
            f"the config ties {frame.tied} to {frame.table}, but the weights' two differ",
            where="--weights",
            mend='set "tie_word_embeddings": false in the config',
        )
    return "the weights hold the embedding twice, and both are equal"


def fit(tensors: Tensors, frame: Frame) -> Fit:
    """Compare names and shapes; a tied output matrix is not asked for."""
    wanted = {name: shape for name, shape in frame.shapes.items() if name != frame.tied}
    found = Fit(
        missing=sorted(wanted.keys() - tensors.keys()),
        unexpected=sorted(tensors.keys() - wanted.keys()),
    )
    for name in sorted(wanted.keys() & tensors.keys()):
        if tuple(tensors[name].shape) != wanted[name]:
            found.mis_shaped[name] = (list(tensors[name].shape), list(wanted[name]))
    return found


def model_with(tensors: Tensors, config: Any, frame: Frame, seed: int) -> PreTrainedModel:
    """A model of `config` with these weights; what they do not hold is drawn at random.

    All weights get the narrowest type that loses nothing of any.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = common_dtype(tensors)
    is_whole = not (frame.shapes.keys() - tensors.keys() - {frame.tied})
    torch.manual_seed(seed)
    with torch.device("meta" if is_whole else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    # Copies: parts of a fused matrix share memory, which safetensors refuses.
    state = {name: tensor.to(dtype, copy=True).contiguous() for name, tensor in tensors.items()}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    loaded: PreTrainedModel = model
    return loaded


def common_dtype(tensors: Tensors) -> torch.dtype:
    """The type that holds every weight exactly.

    Raises:
        InputError: a weight is no floating-point number.
    """
    import torch

    dtype: torch.dtype | None = None
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise InputError(
                f"{name} holds {tensor.dtype}, no floating-point numbers",
                where="--weights",
                mend="quantized weights are not converted; give the original ones",
            )
        dtype = torch.promote_types(dtype, tensor.dtype) if dtype else tensor.dtype
    if dtype is None:
        raise InputError("no weights fit the model", where="--weights")
    return dtype
