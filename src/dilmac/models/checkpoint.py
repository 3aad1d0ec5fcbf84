"""Model folders: opened without pickle or remote code, saved as transformers writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dilmac.core import DilmacError, InputError, MissingDependencyError, write_json
from dilmac.models.stored import require_sound_weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def require_model_folder(folder: Path) -> dict[str, Any]:
    """The `config.json` of a folder with safetensors weights.

    Raises:
        InputError: no folder, no config, no safetensors weights, damaged ones, or code of its own.
    """
    if not folder.is_dir():
        raise InputError("no such model folder", where=folder)
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise InputError(
            "no config.json in it",
            where=folder,
            mend="give a model folder (`dilmac pretrain` makes one)",
        )
    try:
        config: dict[str, Any] = json.loads(config_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"no JSON ({error})", where=config_path) from error
    if not isinstance(config, dict):
        raise InputError("no JSON object", where=config_path)
    if "auto_map" in config:
        raise InputError("asks for code of its own (auto_map); it is not run", where=config_path)
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            "no safetensors weights in it",
            where=folder,
            mend="pickled weights (.bin, .pt) are not loaded",
        )
    require_sound_weights(folder)
    return config


def require_plain_weights(settings: dict[str, Any], where: Path) -> None:
    """Refuse packed weights, of which nothing else can be made.

    Raises:
        InputError: config.json says that they are quantized.
    """
    if packed := settings.get("quantization_config"):
        method = packed.get("quant_method") if isinstance(packed, dict) else packed
        raise InputError(
            f"its weights are quantized already ({method})",
            where=where,
            mend="give the folder that it was made from",
        )


def read_config(folder: Path) -> Any:
    """The config of a model folder with what its class in transformers adds where it is silent.

    Raises:
        InputError: see `require_model_folder`; or transformers cannot read it.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    require_model_folder(folder)
    try:
        return AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except (
        StrictDataclassError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        message = " ".join(str(error).split())[:200]
        raise InputError(f"transformers cannot read it ({message})", where=folder) from error


def load_model(
    folder: Path,
    dtype: torch.dtype | None = None,
    *,
    quantization: Any = None,
    device: torch.device | None = None,
) -> PreTrainedModel:
    """A language model from a folder, one with eyes too, on the CPU, in `dtype` (or float32).

    With a `quantization`, a config of transformers', its matrices are packed while they are read,
    on `device`, or where transformers likes it best (a GPU, if there is one).

    Raises:
        InputError: see `require_model_folder`; or the weights do not fit the config.
        MissingDependencyError: they are quantized, and need a package that is not installed.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.utils import logging

    logging.disable_progress_bar()
    sees = "vision_config" in require_model_folder(folder)
    with loading(folder, "model"):
        kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        model, report = kind.from_pretrained(
            str(folder),
            dtype=dtype or torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **({"quantization_config": quantization} if quantization is not None else {}),
            **({"device_map": {"": device}} if device is not None else {}),
        )
    require_weights(folder, "model", report["missing_keys"])
    return cast("PreTrainedModel", model)


@contextmanager
def loading(folder: Path, what: str) -> Iterator[None]:
    """Say what transformers found wrong in a folder.

    Raises:
        InputError: it is no loadable `what`.
        MissingDependencyError: its quantized weights need a package that is not installed.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    known = (SafetensorError, StrictDataclassError, OSError, ValueError, RuntimeError, KeyError)
    try:
        yield
    except known as error:
        first_lines = " ".join(" ".join(str(error).strip().splitlines()[:2]).split())
        raise InputError(f"no loadable {what} ({first_lines})", where=folder) from error
    except ImportError as error:
        reason = " ".join(str(error).split())[:200]
        raise MissingDependencyError(
            f"cannot be loaded ({reason})",
            where=folder,
            mend="pip install 'dilmac[compressed]'" if "compressed" in reason else None,
        ) from error


def require_weights(folder: Path, what: str, missing: Iterable[str]) -> None:
    """Refuse a model that transformers would fill with random numbers.

    Raises:
        InputError: weights are missing.
    """
    if names := sorted(missing):
        raise InputError(
            f"no loadable {what} ({len(names)} weights are missing, the first {names[0]})",
            where=folder,
        )


def round_weights(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Give every weight the value that it has in `dtype`; its type, and all buffers, stay.

    A whole model in bf16 would round the frequencies of its positions, too, which no file holds.
    """
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(dtype))


def save_model(model: PreTrainedModel, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Save weights, in `dtype` or their own, and config as `AutoModelForCausalLM` opens them.

    Raises:
        DilmacError: a weight is not finite.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    weights = model.state_dict()
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise DilmacError(
                f"{name} holds NaN or infinite values", where=folder, mend="lower the learning rate"
            )
    if dtype is None:
        model.save_pretrained(str(folder))
        return
    # What shares its memory (tied tables) shares it afterwards, too, and is written once.
    made: dict[int, torch.Tensor] = {}
    for name, tensor in weights.items():
        weights[name] = made.setdefault(tensor.data_ptr(), tensor.to(dtype))
    model.save_pretrained(str(folder), state_dict=weights)
    # transformers wrote the type that the model has in memory.
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**config, "dtype": str(dtype).removeprefix("torch.")})
