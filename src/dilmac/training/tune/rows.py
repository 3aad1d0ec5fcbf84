"""Rows of the tables that are trained with an adapter: all, or those of a new vocabulary alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dilmac.core import ConfigError, Figures, open_artifact
from dilmac.training.config import FinetuneConfig

INPUT, OUTPUT = "embed_tokens", "lm_head"
MADE = "first_made_row"


def first_new_row(config: FinetuneConfig) -> int | None:
    """Where the rows begin that are trained alone; None where all are, or none is.

    `dilmac transplant` records it in its artifact; `dilmac heal` and fine-tuning keep it.

    Raises:
        ConfigError: `--train-rows new`, and nothing says which rows are new.
    """
    if not config.train_embeddings or config.train_rows == "all" or config.method == "full":
        return None
    first: int | None = made_rows(config.model).get(MADE)
    if first is None and config.train_rows == "new":
        raise ConfigError(
            f"nothing says which rows of {config.model} are new",
            where="--train-rows new",
            mend="take a model that `dilmac transplant` extended, or give --train-rows all",
        )
    return first


def made_rows(folder: Path) -> Figures:
    """Where a transplant's rows begin in a model's tables, as its artifact says it; else nothing.

    Models made of this one keep its tables, so their artifacts say the same.
    """
    if not (folder / "artifact.json").is_file():
        return {}
    first = open_artifact(folder, "model").figures.get(MADE)
    return {} if first is None else {MADE: first}


def rows_settings(base: Any, config: FinetuneConfig, first: int | None) -> dict[str, Any]:
    """The part of a LoraConfig that trains and saves rows.

    New rows alone are a small table of their own beside the adapter's matrices; all rows are saved
    as whole tables.
    """
    if not config.train_embeddings:
        return {}
    is_tied = bool(base.config.tie_word_embeddings)
    names = table_names(base)
    if is_tied:
        names = names[:1]
    if first is None:
        return {"modules_to_save": names, "ensure_weight_tying": is_tied}
    new = list(range(first, base.get_input_embeddings().weight.shape[0]))
    return {"trainable_token_indices": dict.fromkeys(names, new)}


def table_names(base: Any) -> list[str]:
    """Names of the input and the output table in this architecture: `embed_tokens`, `lm_head`."""
    tables = (base.get_input_embeddings(), base.get_output_embeddings())
    names = []
    for table, usual in zip(tables, (INPUT, OUTPUT), strict=True):
        found = (name for name, module in base.named_modules() if module is table)
        names.append(next(found, usual).rpartition(".")[2])
    return names


@contextmanager
def rows_in_the_head(model: Any) -> Iterator[None]:
    """While trained, the head of TRL's loss has the new rows in its table.

    TRL multiplies with the head's weight and bias instead of calling it. peft's wrapper around a
    table of which some rows are trained composes its weight when asked, but has no bias.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    if not hasattr(head, "token_adapter"):
        yield
        return
    base.get_output_embeddings = lambda: SimpleNamespace(weight=head.weight, bias=None)
    try:
        yield
    finally:
        del base.get_output_embeddings
