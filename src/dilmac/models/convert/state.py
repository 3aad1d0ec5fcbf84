"""A state dict from a file, without running anything that the file may hold."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilmac.core import InputError
from dilmac.models.stored import read_stored

if TYPE_CHECKING:
    import torch

# Where trainers keep the state dict inside a checkpoint.
NESTS = ("state_dict", "model_state_dict", "model", "module")
# What wrappers put into names: DataParallel, torch.compile, DeepSpeed, FSDP.
WRAPPERS = ("module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module")
SAVE_PLAIN = "save the state dict alone: `torch.save(model.state_dict(), ...)`, or as safetensors"


@dataclass(frozen=True)
class State:
    """A state dict: its tensors, the keys it was nested under, and what lay beside it."""

    tensors: dict[str, torch.Tensor]
    nested_under: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()
    not_tensors: tuple[str, ...] = ()


def read_state(path: Path) -> State:
    """The state dict of a `.pt`/`.pth`/`.bin` file, a `.safetensors` file, or a folder of these.

    Raises:
        InputError: no such file, code in the pickle, or no state dict in it.
    """
    if path.is_dir():
        loaded: Any = {}
        files = sorted(path.glob("*.safetensors"))
        if not files:
            raise InputError("no safetensors file in it", where=path, mend="name the file")
        for file in files:
            loaded.update(_safetensors(file))
    elif not path.is_file():
        raise InputError("no such file", where=path)
    elif path.suffix == ".safetensors":
        loaded = _safetensors(path)
    else:
        loaded = _pickled(path)
    return _unwrapped(loaded, path)


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_stored(path)  # a header that lies is refused before anything is read by it
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"no readable safetensors ({error})", where=path) from error
    return tensors


def _pickled(path: Path) -> Any:
    """By torch's restricted unpickler, which knows tensors and plain containers only."""
    import torch

    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # torch's format of before 1.6 cannot be mapped, only read
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|global|class) ([\w.]+\.[\w.]+)", str(error))
        what = f"code ({named[1]})" if named else "something other than tensors"
        raise InputError(
            f"the pickle asks for {what}, and code is not run", where=path, mend=SAVE_PLAIN
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"no readable weights ({reason})", where=path) from error


def _unwrapped(loaded: Any, path: Path) -> State:
    """Out of the keys that trainers nest it under, and without wrappers' parts of names."""
    import torch

    beside: dict[str, Any] = {}
    nested: list[str] = []
    while isinstance(loaded, Mapping) and not _holds_tensors(loaded):
        key = next((name for name in NESTS if isinstance(loaded.get(name), Mapping)), None)
        if key is None:
            break
        beside |= {name: value for name, value in loaded.items() if name != key}
        nested.append(key)
        loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not _holds_tensors(loaded):
        found = (
            f"keys {', '.join(map(str, list(loaded)[:5]))}" if isinstance(loaded, Mapping) else ""
        )
        raise InputError(
            f"holds no state dict ({found or type(loaded).__name__})", where=path, mend=SAVE_PLAIN
        )
    tensors: dict[str, torch.Tensor] = {}
    seen: set[str] = set()
    others: list[str] = []
    for key, value in loaded.items():
        parts = str(key).split(".")
        name = ".".join(part for part in parts if part not in WRAPPERS)
        seen.update(part for part in parts if part in WRAPPERS)
        if not isinstance(value, torch.Tensor):
            others.append(str(key))
        elif name in tensors:
            raise InputError(f"{name} is in it twice, with and without a wrapper", where=path)
        else:
            tensors[name] = value
    return State(tensors, tuple(nested), beside, tuple(sorted(seen)), tuple(others))


def _holds_tensors(values: Mapping[Any, Any]) -> bool:
    import torch

    return any(isinstance(value, torch.Tensor) for value in values.values())
