"""The model that is healed: what of it is trained, and the whole of it at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from dilmac.core import InputError, open_artifact
from dilmac.models import load_model, require_model_folder
from dilmac.tokenizer import Tokenizer
from dilmac.training import (
    PretrainConfig,
    TrainedModel,
    resolve_precision,
    training_device,
)
from dilmac.transplant.heal.config import HealConfig
from dilmac.transplant.stream import open_checkpoint

NEW_INPUT, NEW_OUTPUT = "embed_tokens_new", "lm_head_new"


class Patient:
    """Opens a transplanted model, makes of it what is trained, and gives it back whole.

    `first` is where new rows begin that are trained without the old ones; None trains all rows.
    """

    def __init__(self, config: HealConfig, first: int | None):
        self.config = config
        self.first = None if config.train == "all" else first
        self._adapted: PeftModel | None = None
        self._type = torch.float32  # of what is frozen
        self._hooks: list[Any] = []

    def open(self, settings: PretrainConfig, tokenizer: Tokenizer) -> PreTrainedModel:
        """The model with only what is to be trained, in fp32, asking for gradients.

        Raises:
            InputError: it cannot be opened, has eyes, or bends its logits after the head.
        """
        self._type = self._frozen_type(settings)
        _require_text_only(self.config.model)
        model = load_model(self.config.model, self._type)
        _require_plain_logits(model, self.config.model)
        tokenizer.require_fit(model.get_input_embeddings().num_embeddings)
        if settings.context and settings.context > model.config.max_position_embeddings:
            raise InputError(
                f"a window of {settings.context} tokens is longer than the model's context",
                where="--context",
                mend=f"at most {model.config.max_position_embeddings}",
            )
        if self.config.train == "all":
            return model
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        if self.config.train == "lora":
            self._adapted = _with_adapters(model, self.config)
        self._release_rows(model)
        return model

    def _frozen_type(self, settings: PretrainConfig) -> torch.dtype:
        """bf16 where products are in it and the file holds no more: half of the memory."""
        precision = resolve_precision(settings.precision, training_device())
        if self.config.train == "all" or precision != "bf16":
            return torch.float32
        stored = {tensor.dtype for tensor in open_checkpoint(self.config.model).tensors.values()}
        return torch.bfloat16 if stored == {"BF16"} else torch.float32

    def _release_rows(self, model: Any) -> None:
        """Let rows be trained: all, or where new ones stand at the end, those as one parameter."""
        tables = {NEW_INPUT: model.get_input_embeddings().weight}
        if not model.config.tie_word_embeddings:
            tables[NEW_OUTPUT] = model.get_output_embeddings().weight
        for name, table in tables.items():
            if self.first is None:
                table.data = table.data.float()
                table.requires_grad_(True)
            else:
                rows = table.data[self.first :].to(torch.float32, copy=True)
                model.register_parameter(name, nn.Parameter(rows))
        if self.first is not None:
            # The loss reads the rows themselves; whoever calls the model finds them in its tables.
            write = model.register_forward_pre_hook(lambda module, _: self._write_rows(module))
            self._hooks.append(write)

    def _write_rows(self, model: Any) -> None:
        tables = {
            NEW_INPUT: model.get_input_embeddings(),
            NEW_OUTPUT: model.get_output_embeddings(),
        }
        for name, layer in tables.items():
            if hasattr(model, name):
                layer.weight.data[self.first :] = getattr(model, name).data.to(layer.weight.dtype)

    def wrap(self, model: PreTrainedModel, dtype: torch.dtype, compiled: bool) -> nn.Module:
        """The model with the loss of its language."""
        if self.first is None:
            return TrainedModel(model, dtype, compiled=compiled)
        return RowsModel(model, dtype, compiled=compiled, first=self.first)

    def finish(self, model: Any) -> PreTrainedModel:
        """The plain model: adapters merged, rows in their tables.

        It is in fp32, or where bf16 was frozen and is saved, in that.
        """
        kept = torch.float32 if self.config.save_precision == "fp32" else self._type
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(kept)
        self._write_rows(model)
        while self._hooks:
            self._hooks.pop().remove()
        if self._adapted is not None:
            model, self._adapted = self._adapted.merge_and_unload(), None
        for name in (NEW_INPUT, NEW_OUTPUT):
            if hasattr(model, name):
                delattr(model, name)
        for parameter in model.parameters():
            parameter.data = parameter.data.to(kept)
            parameter.requires_grad_(True)
        healed: PreTrainedModel = model
        return healed


class RowsModel(TrainedModel):
    """A model of which only the last rows of its tables are trained."""

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype, *, compiled: bool, first: int):
        super().__init__(model, dtype, compiled=compiled)
        self.first = first

    def embedded(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Old rows as they are, new ones from their parameter."""
        layer: Any = self.model.get_input_embeddings()
        old = layer(input_ids)
        scale = getattr(layer, "embed_scale", None)  # Gemma 3 scales in the layer
        new = F.embedding((input_ids - self.first).clamp(min=0), getattr(self.model, NEW_INPUT))
        new = new if scale is None else new * scale.to(new.dtype)
        return torch.where((input_ids >= self.first)[..., None], new, old)

    def tables(self) -> tuple[torch.Tensor | None, torch.Tensor]:
        """The head's old rows, and the new ones."""
        head: Any = self.model.get_output_embeddings()
        name = NEW_INPUT if self.model.config.tie_word_embeddings else NEW_OUTPUT
        return head.weight[: self.first].detach(), getattr(self.model, name)


def first_new_row(config: HealConfig) -> int | None:
    """Where the rows begin that a transplant made, if they stand together at the end.

    Raises:
        InputError: rows alone are to be trained, and nothing says which are new.
    """
    folder = config.model
    is_ours = (folder / "artifact.json").is_file()
    figures = open_artifact(folder, "model").figures if is_ours else {}
    if config.train == "rows" and "first_made_row" not in figures:
        raise InputError(
            "was not made by `dilmac transplant`, so nothing says which rows are new",
            where=folder,
            mend="give --train lora or all",
        )
    first: int | None = figures.get("first_made_row")
    return first


def _require_text_only(folder: Path) -> None:
    if "vision_config" in require_model_folder(folder):
        raise InputError(
            "is a vision model, which is not healed here",
            where=folder,
            mend="heal a model of text; a transplanted vision model runs as it is",
        )


def _require_plain_logits(model: Any, where: Path) -> None:
    config = model.config.get_text_config()
    if getattr(config, "final_logit_softcapping", None):
        raise InputError(
            "bends its logits (final_logit_softcapping), which this loss does not know",
            where=where / "config.json",
        )


def _with_adapters(model: PreTrainedModel, config: HealConfig) -> PeftModel:
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted: PeftModel = get_peft_model(model, lora)
    return adapted
