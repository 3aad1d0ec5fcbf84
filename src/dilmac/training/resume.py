"""Checkpoints of a run: atomic, without pickle, and enough to go on bit for bit.

Weights and optimizer state are safetensors, the rest is JSON. The loop draws nothing at random
between steps (data order follows from the step), so there is no generator state to keep.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dilmac.core import InputError, disk_full_explained, write_json
from dilmac.training.optimize import Optimizers, trainable
from dilmac.training.ranks import join, like, whole

STATE, MODEL, OPTIMIZER = "state.json", "model.safetensors", "optimizer.safetensors"
BEST, OLDER = "best", ".older"
Tensors = dict[str, torch.Tensor]


def save_checkpoint(
    folder: Path,
    state: dict[str, Any],
    model: nn.Module,
    optimizers: Optimizers,
    *,
    writes: bool = True,
    keep: int = 1,
) -> None:
    """Write `folder/step-N` whole or not at all, then remove all but the last `keep`.

    `state` holds `step` and what the run needs beside tensors. Every process of a run calls this;
    the one that `writes` does.

    Raises:
        DiskFullError: there is no room; the checkpoint before it stays whole.
    """
    weights = weights_of(model, wanted=writes)
    moments = _gathered(_moments(model, optimizers), wanted=writes)
    if not writes:
        return
    files = {MODEL: weights, OPTIMIZER: moments}
    _write(folder, f"step-{state['step']:08d}", files, state)
    for older in _steps(folder)[:-keep]:
        shutil.rmtree(older, ignore_errors=True)


def save_best(folder: Path, state: dict[str, Any], weights: Tensors) -> None:
    """Keep these weights as the best of the run so far, instead of those before."""
    _write(folder, BEST, {MODEL: weights}, state)


def load_best(folder: Path) -> tuple[Tensors, dict[str, Any]] | None:
    """The best weights of the run and their state, where any were kept."""
    for best in (folder / BEST, folder / OLDER):  # killed between two renames, the older one
        if best.is_dir():
            return _read(best, MODEL), _state(best)
    return None


def load_checkpoint(
    folder: Path, identity: dict[str, Any], model: nn.Module, optimizers: Optimizers
) -> dict[str, Any] | None:
    """Load the newest checkpoint into model and optimizers; its state, None where there is none.

    Raises:
        InputError: it is damaged, or of a run with another `identity` (what it trains on what).
    """
    if not _steps(folder):
        return None
    newest = _steps(folder)[-1]
    state = _state(newest)
    for name, value in identity.items():
        if state.get("identity", {}).get(name) != value:
            raise InputError(
                f"is a checkpoint of another {name.replace('_', ' ')}",
                where=newest,
                mend="begin anew with --force, or choose another --out",
            )
    load_weights(model, _read(newest, MODEL), newest)
    moments = _read(newest, OPTIMIZER)
    for name, parameter in model.named_parameters():
        parts = {key.split("|")[1]: t for key, t in moments.items() if key.startswith(f"{name}|")}
        if parts:
            # Copies: a shard that is a view would keep the whole tensor, or the mapped file.
            state_of = {key: like(part, parameter).clone() for key, part in parts.items()}
            optimizers.set_state(parameter, state_of)
    return state


def load_weights(model: nn.Module, weights: Tensors, where: Path) -> None:
    """Copy whole tensors into a model, sharded or not.

    Raises:
        InputError: a tensor is missing or has another shape.
    """
    with torch.no_grad():
        for name, parameter in trainable(model):
            there = weights.get(name)
            if there is None or there.shape != parameter.shape:
                found = "nothing" if there is None else str(list(there.shape))
                raise InputError(
                    f"does not fit the model: {name} is {list(parameter.shape)}, found {found}",
                    where=where,
                    mend="begin anew with --force, or choose another --out",
                )
            parameter.copy_(like(there, parameter))


def weights_of(model: nn.Module, *, wanted: bool = True) -> Tensors:
    """Every parameter that is trained, whole, by its name; tied ones once.

    Every process of a run must ask; those for which it is not `wanted` help and keep nothing.
    """
    return _gathered(trainable(model), wanted=wanted)


def _gathered(tensors: Iterable[tuple[str, torch.Tensor]], *, wanted: bool) -> Tensors:
    if wanted:
        return {name: whole(tensor) for name, tensor in tensors}
    for _, tensor in tensors:
        join(tensor)
    return {}


def _moments(model: nn.Module, optimizers: Optimizers) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in model.named_parameters():
        for key, tensor in optimizers.state_of(parameter).items():
            yield f"{name}|{key}", tensor


def _write(folder: Path, name: str, files: dict[str, Tensors], state: dict[str, Any]) -> None:
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with disk_full_explained(folder):
            partial.mkdir(parents=True)
            for file, tensors in files.items():
                save_file(tensors, partial / file)
                _sync(partial / file)
            write_json(partial / STATE, state)
            _sync(partial / STATE)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # room for what comes next
        raise
    final, older = folder / name, folder / OLDER
    if final.exists():  # only `best` has a name that stays
        shutil.rmtree(older, ignore_errors=True)
        final.replace(older)
    partial.replace(final)
    shutil.rmtree(older, ignore_errors=True)


def _sync(file: Path) -> None:
    """To the disk, before a name says that it is there."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _read(checkpoint: Path, file: str) -> Tensors:
    try:
        return dict(load_file(checkpoint / file))
    except (SafetensorError, OSError) as error:
        raise _damaged(checkpoint / file, error) from error


def _state(checkpoint: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        if not isinstance(state["step"], int):
            raise TypeError("step is no number")
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise _damaged(checkpoint / STATE, error) from error
    return state


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the checkpoint is damaged ({error})",
        where=path,
        mend="delete its folder (an older one, or the beginning, is taken), or use --force",
    )
