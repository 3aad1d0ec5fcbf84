"""What is trained: the whole classifier, or LoRA beside it, in full precision or beside 4 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from dilmac.core import InputError, read_json, write_json
from dilmac.models import new_classifier, packed_settings, read_config
from dilmac.tokenizer import END_OF_TEXT, PADDING, Tokenizer
from dilmac.training.classify.config import ClassifyConfig
from dilmac.training.precision import DTYPES

HEAD = "score"


def pad_token_of(folder: Path, tokenizer: Tokenizer) -> str:
    """A control token to fill rows up with, which ends no text: the head reads the last token that
    is none of these.

    Qwen's base models pad with the token that ends their texts; these get another control token.

    Raises:
        InputError: the tokenizer has no such token.
    """
    stated = read_json(folder / "tokenizer_config.json")
    ends = {_content(stated.get("eos_token"))}
    others = sorted(name for name in tokenizer.control_tokens if "pad" in name.lower())
    for name in (_content(stated.get("pad_token")), *PADDING, *others, END_OF_TEXT):
        if name in tokenizer.control_tokens and name not in ends:
            return name
    raise InputError(
        "the tokenizer has no token to pad with but the one that ends texts",
        where=folder,
        mend="add a control token such as <|pad|> to its tokenizer.json",
    )


def _content(token: Any) -> str:
    """A token as tokenizer_config.json writes it: its text, or an object with it."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def write_padding(folder: Path, pad_token: str, max_tokens: int) -> None:
    """Let plain transformers pad and cut as we do: in the folder's tokenizer files."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        if not path.is_file():
            continue
        settings = read_json(path) | {"pad_token": pad_token}
        if name == "tokenizer_config.json":
            settings |= {"padding_side": "right", "model_max_length": max_tokens}
        write_json(path, settings)


def max_tokens_of(config: ClassifyConfig) -> int:
    """Where texts are cut: `--max-length`, or the model's context where that is shorter."""
    return min(config.max_length, int(read_config(config.model).max_position_embeddings))


def base_classifier(
    config: ClassifyConfig, labels: list[str], pad_id: int, *, precision: str
) -> Any:
    """The language model under a new head, which stays as it is; for `qlora` its blocks in NF4."""
    quantization = None
    if config.method == "qlora":
        quantization = packed_settings("nf4", DTYPES[precision], skipped=[HEAD])
    return new_classifier(
        config.model, labels, pad_id=pad_id, seed=config.seed, quantization=quantization
    )


def prepared(base: Any, config: ClassifyConfig) -> Any:
    """The model with what is to be trained: its own parameters, or an adapter and the head."""
    if config.method == "full":
        return base
    for parameter in base.parameters():
        parameter.requires_grad_(False)
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        modules_to_save=[HEAD],
        task_type="SEQ_CLS",
    )
    return get_peft_model(base, lora)
