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
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer
from dilmac.training import PretrainConfig, TrainedModel
from dilmac.transplant.heal.config import HealConfig

NEW_INPUT, NEW_OUTPUT = "embed_tokens_new", "lm_head_new"


class Patient:
    """Opens a transplanted model, makes of it what is trained, and gives it back whole."""

    def __init__(self, config: HealConfig):
        self.config = config
        self.first = first_new_row(config.model) if config.train == "rows" else None
        self._adapted: PeftModel | None = None

    def open(self, settings: PretrainConfig, tokenizer: Tokenizer) -> PreTrainedModel:
        """The model in fp32 with only what is to be trained asking for gradients.

        Raises:
            InputError: it cannot be opened, or bends its logits after the head.
        """
        model = load_model(self.config.model)
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

    def _release_rows(self, model: Any) -> None:
        """Let rows be trained: all, or where new ones stand at the end, those as one parameter."""
        tables = {NEW_INPUT: model.get_input_embeddings().weight}
        if not model.config.tie_word_embeddings:
            tables[NEW_OUTPUT] = model.get_output_embeddings().weight
        for name, table in tables.items():
            if self.first is None:
                table.requires_grad_(True)
            else:
                # The same memory: what is trained is at once part of the table.
                model.register_parameter(name, nn.Parameter(table.data[self.first :]))

    def wrap(self, model: PreTrainedModel, dtype: torch.dtype, compiled: bool) -> nn.Module:
        """The model with the loss of its language."""
        if self.first is None:
            return TrainedModel(model, dtype, compiled=compiled)
        return RowsModel(model, dtype, compiled=compiled, first=self.first)

    def finish(self, model: Any) -> PreTrainedModel:
        """The plain model: adapters merged, rows in their tables."""
        if self._adapted is not None:
            model = self._adapted.merge_and_unload()
        for name in (NEW_INPUT, NEW_OUTPUT):
            if hasattr(model, name):
                delattr(model, name)
        for parameter in model.parameters():
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
        rows = self._shared(NEW_INPUT, layer.weight)
        old = layer(input_ids)
        scale = getattr(layer, "embed_scale", None)  # Gemma 3 scales in the layer
        new = F.embedding((input_ids - self.first).clamp(min=0), rows)
        new = new if scale is None else new * scale.to(new.dtype)
        return torch.where((input_ids >= self.first)[..., None], new, old)

    def tables(self) -> tuple[torch.Tensor | None, torch.Tensor]:
        """The head's old rows, and the new ones."""
        head: Any = self.model.get_output_embeddings()
        is_tied = self.model.config.tie_word_embeddings
        rows = self._shared(NEW_INPUT if is_tied else NEW_OUTPUT, head.weight)
        return head.weight[: self.first].detach(), rows

    def _shared(self, name: str, table: torch.Tensor) -> torch.Tensor:
        """The new rows; after a move to a device they share the table's memory again."""
        rows: nn.Parameter = getattr(self.model, name)
        end = table.data[self.first :]
        if rows.data_ptr() != end.data_ptr():
            end.copy_(rows.data)
            rows.data = end
        return rows


def first_new_row(folder: Path) -> int | None:
    """Where the rows begin that a transplant made, if they stand together at the end.

    Raises:
        InputError: the folder is none that `dilmac transplant` made.
    """
    is_ours = (folder / "artifact.json").is_file()
    figures = open_artifact(folder, "model").figures if is_ours else {}
    if "first_made_row" not in figures:
        raise InputError(
            "was not made by `dilmac transplant`, so nothing says which rows are new",
            where=folder,
            mend="give --train lora or all",
        )
    first: int | None = figures["first_made_row"]
    return first


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
