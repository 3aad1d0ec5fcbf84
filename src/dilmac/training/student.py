"""What a run trains: pretraining's own shape, or a model that another room opens and wraps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from dilmac.core import InputError
from dilmac.models import load_model, preset_named, shape_for
from dilmac.tokenizer import IM_END, PAD, Tokenizer
from dilmac.training.config import PretrainConfig
from dilmac.training.loss import TrainedModel

KNOWN = ("llama", "qwen2", "qwen3")  # blocks alike but for norms and biases


@dataclass(frozen=True)
class Student:
    """What a run trains: how its model is opened, with which loss, and when it has had enough.

    `open` gets the settings and the tokenizer, `wrap` the model, the type of its products and
    whether to compile; what it gives is called as `TrainedModel` is.
    """

    verb: str
    open: Callable[[PretrainConfig, Tokenizer], PreTrainedModel]
    wrap: Callable[[PreTrainedModel, torch.dtype, bool], nn.Module]
    patience: int | None = None


def _model(config: PretrainConfig, tokenizer: Tokenizer) -> PreTrainedModel:
    """A new model of the shape asked for, drawn from the seed; or the one to go on with."""
    if config.model is not None:
        model = load_model(config.model)
        if model.config.model_type not in KNOWN:
            raise InputError(
                f"is a {model.config.model_type}; the pretraining loop knows {', '.join(KNOWN)}",
                where=config.model,
                mend="take a folder such as one that `dilmac pretrain` made",
            )
        tokenizer.require_fit(model.get_input_embeddings().num_embeddings)
        if config.context and config.context > model.config.max_position_embeddings:
            model.config.max_position_embeddings = config.context  # learnt from here on
        return model
    if config.params is not None:
        shape = shape_for(config.params, len(tokenizer))
    else:
        shape = preset_named(config.preset)
    torch.manual_seed(config.seed)
    shape = shape.model_copy(update={"context": config.context or shape.context})
    model = AutoModelForCausalLM.from_config(
        shape.shape_config(len(tokenizer), **ids_of_ends(tokenizer)), dtype=torch.float32
    )
    model.generation_config.eos_token_id = model.config.eos_token_id
    model.generation_config.pad_token_id = model.config.pad_token_id
    return model


def ids_of_ends(tokenizer: Tokenizer) -> dict[str, Any]:
    """What ends a text, for a config; transformers' defaults (1 and 2) are another tokenizer's."""
    control = tokenizer.control_tokens
    ends = [tokenizer.document_start_id, *(control[t] for t in (IM_END,) if t in control)]
    return {"bos_token_id": None, "eos_token_id": ends, "pad_token_id": control.get(PAD)}


def _with_loss(model: PreTrainedModel, dtype: torch.dtype, compiled: bool) -> nn.Module:
    return TrainedModel(model, dtype, compiled=compiled)


PRETRAINED = Student("pretrain", _model, _with_loss)
