"""Checkpoints of a run: atomic, without pickle, and enough to go on bit for bit.

Weights and optimizer state are safetensors. The loop draws nothing at random between steps (data
order follows from the step), so there is no generator state to keep.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dilmac.core import write_json

STATE = "state.json"


def save_checkpoint(
    folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write `folder/step-N` whole or not at all, then remove the older ones."""
    final = folder / f"step-{step:08d}"
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    save_file(weights, partial / "model.safetensors")
    save_file(_optimizer_tensors(model, optimizer), partial / "optimizer.safetensors")
    write_json(partial / STATE, {"step": step})
    partial.replace(final)
    for older in folder.glob("step-*"):
        if older != final:
            shutil.rmtree(older, ignore_errors=True)


def load_checkpoint(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the newest whole checkpoint into model and optimizer; its step, or 0 without one."""
    newest = max(folder.glob("step-*"), default=None)
    if newest is None:
        return 0
    weights = load_file(newest / "model.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    state = load_file(newest / "optimizer.safetensors")
    for name, parameter in model.named_parameters():
        parts = {key.split("|")[1]: t for key, t in state.items() if key.startswith(f"{name}|")}
        if parts:
            step = parts.pop("step")
            moved = {key: tensor.to(parameter.device) for key, tensor in parts.items()}
            optimizer.state[parameter] = {"step": step.to(parameter.device), **moved}
    return int(json.loads((newest / STATE).read_text(encoding="utf-8"))["step"])


def _optimizer_tensors(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    return {
        f"{name}|{key}": tensor.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        for key, tensor in optimizer.state.get(parameter, {}).items()
    }
