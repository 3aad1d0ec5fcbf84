"""What a run trains: pretraining's Llama, or a model that another room opens and wraps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedModel

from dilmac.core import InputError
from dilmac.models import load_model, preset_named, shape_for
from dilmac.tokenizer import IM_END, PAD, Tokenizer
from dilmac.training.config import PretrainConfig
from dilmac.training.loss import TrainedModel


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
        if model.config.model_type != "llama":
            raise InputError(
                f"is a {model.config.model_type}; the pretraining loop knows llama",
                where=config.model,
                mend="take a Llama folder, such as one that `dilmac pretrain` made",
            )
        tokenizer.require_fit(model.get_input_embeddings().num_embeddings)
        if config.context and config.context > model.config.max_position_embeddings:
            model.config.max_position_embeddings = config.context  # learnt from here on
        return model
    if config.params is not None:
        shape = shape_for(config.params, len(tokenizer))
    else:
        shape = preset_named(config.preset)
    end = tokenizer.document_start_id
    torch.manual_seed(config.seed)
    model = LlamaForCausalLM(
        shape.model_copy(update={"context": config.context or shape.context}).llama_config(
            len(tokenizer),
            bos_token_id=None,
            eos_token_id=[end, tokenizer.control_id(IM_END)],
            pad_token_id=tokenizer.control_id(PAD),
        )
    )
    model.generation_config.eos_token_id = model.config.eos_token_id
    model.generation_config.pad_token_id = model.config.pad_token_id
    return model


def _with_loss(model: PreTrainedModel, dtype: torch.dtype, compiled: bool) -> nn.Module:
    return TrainedModel(model, dtype, compiled=compiled)


PRETRAINED = Student("pretrain", _model, _with_loss)
