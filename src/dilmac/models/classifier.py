"""Classifiers: a language model's folder with a new head, or a folder that has one already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dilmac.core import InputError
from dilmac.models.checkpoint import loading, require_model_folder, require_weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HEAD = "score.weight"


def is_classifier(folder: Path) -> bool:
    """Whether a model folder holds a sequence classifier."""
    names = require_model_folder(folder).get("architectures") or [""]
    return str(names[0]).endswith("ForSequenceClassification")


def new_classifier(
    folder: Path,
    labels: Sequence[str],
    *,
    pad_id: int,
    seed: int,
    dtype: torch.dtype | None = None,
    quantization: Any = None,
) -> PreTrainedModel:
    """The blocks of a language model under a head for `labels`, drawn at random from `seed`.

    Raises:
        InputError: the folder holds no language model, or its weights do not fit its config.
    """
    import torch

    if is_classifier(folder):
        raise InputError(
            "is a classifier already", where=folder, mend="give the language model it was made from"
        )
    if "vision_config" in require_model_folder(folder):
        raise InputError("has eyes; only models of text become classifiers", where=folder)
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
        "pad_token_id": pad_id,
        "problem_type": "single_label_classification",
        "use_cache": False,
    }
    if quantization is not None:
        settings["quantization_config"] = quantization
    return _opened(folder, dtype, may_miss={HEAD}, **settings)


def load_classifier(folder: Path, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """A classifier from its folder, on the CPU, in `dtype` (or float32).

    Raises:
        InputError: it is none, or its weights do not fit its config.
    """
    if not is_classifier(folder):
        raise InputError(
            "is no classifier", where=folder, mend="make one with `dilmac classify train`"
        )
    return _opened(folder, dtype, may_miss=set())


def _opened(
    folder: Path, dtype: torch.dtype | None, *, may_miss: set[str], **settings: Any
) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # it warns of the new head, which is what we are here for
    try:
        with loading(folder, "classifier"):
            model, report = AutoModelForSequenceClassification.from_pretrained(
                str(folder),
                dtype=dtype or torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                **settings,
            )
    finally:
        logging.set_verbosity(said)
    require_weights(folder, "classifier", set(report["missing_keys"]) - may_miss)
    return cast("PreTrainedModel", model)
