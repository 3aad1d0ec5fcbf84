"""`dilmac models convert`: a PyTorch state dict as a model folder, with nothing left unsaid."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from dilmac.core import (
    Artifact,
    Build,
    Figures,
    InputError,
    ParityError,
    building,
    say,
    write_json,
)
from dilmac.models import (
    PRESETS,
    Fit,
    Frame,
    Renamed,
    State,
    fit,
    frame_of,
    layout_of,
    load_model,
    model_with,
    preset_named,
    read_state,
    rename,
    save_model,
    tie,
    write_model_card,
)
from dilmac.tokenizer import Tokenizer, copy_tokenizer
from dilmac.training.folder_configs import FAULTS, ConvertConfig
from dilmac.training.student import ids_of_ends

SHOWN = 8  # names of each kind on the screen; `conversion.json` has all


def convert_weights(config: ConvertConfig, *, force: bool = False) -> Artifact:
    """Make a model folder with `conversion.json`, which tells what became of every name.

    Raises:
        InputError: weights, config or tokenizer cannot be read, or do not fit together.
        ConfigError: unknown preset.
        ParityError: the folder does not hold the weights that were given.
    """
    tokenizer = Tokenizer(config.tokenizer)
    config_file = _config_file(config.config)
    inputs = {"weights": [config.weights], "tokenizer": [config.tokenizer]}
    if config_file:
        inputs["config"] = [config_file]
    with building("model", config, inputs, force=force) as build:
        if build.done:
            return build.done
        state = read_state(config.weights)
        settings = _model_config(config, config_file, state, tokenizer)
        frame = frame_of(settings)
        tokenizer.require_fit(frame.shapes[frame.table][0])
        renamed = rename(state.tensors, settings, frame.shapes)
        tied = tie(renamed.tensors, frame)
        found = fit(renamed.tensors, frame)
        report = _report(state, renamed, found, tied)
        _refuse(found, config, report)
        for name in (*found.unexpected, *found.mis_shaped):
            del renamed.tensors[name]
        model = model_with(renamed.tensors, settings, frame, config.seed)
        save_model(model, build.path)
        copy_tokenizer(config.tokenizer, build.path)
        _prove(renamed, build.path)
        write_json(build.path / "conversion.json", report)
        return _finish(config, build, report, frame, model)


def _finish(
    config: ConvertConfig, build: Build, report: Figures, frame: Frame, model: Any
) -> Artifact:
    tied_rows = 0 if frame.tied is None else model.get_input_embeddings().weight.numel()
    figures: Figures = {
        "layout": report["layout"],
        "parameters": sum(tensor.numel() for tensor in model.state_dict().values()) - tied_rows,
        "tied": frame.tied is not None,
        "dtype": str(model.dtype).removeprefix("torch."),
        **{kind: len(report[kind]) for kind in FAULTS},
        "left_out": len(report["left_out"]),
        "filled_with_zeros": len(report["filled_with_zeros"]),
    }
    write_model_card(build, figures, how="converted", license=config.license)
    return build.finish(figures)


def _config_file(given: str | None) -> Path | None:
    """The `config.json` that is meant; None for a preset or nothing.

    Raises:
        InputError: neither a file, nor a folder with one, nor a preset.
    """
    if given is None or given in PRESETS:
        return None
    path = Path(given)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise InputError(
            "no such config.json, and no preset of that name",
            where=f"--config {given}",
            mend=f"a file, a folder with one, or one of {', '.join(PRESETS)}",
        )
    return path


def _model_config(
    config: ConvertConfig, file: Path | None, state: State, tokenizer: Tokenizer
) -> Any:
    """The transformers config of the model to make."""
    if file:
        return _read_config(file, tokenizer)
    if config.config is None:
        return _nanogpt_config(state, tokenizer)
    rows = next(
        (
            tensor.shape[0]
            for name, tensor in state.tensors.items()
            if re.search(r"(embed_tokens|wte|tok_embeddings)\.weight$", name) and tensor.ndim == 2
        ),
        len(tokenizer),
    )
    return preset_named(config.config).shape_config(rows, **ids_of_ends(tokenizer))


def _read_config(file: Path, tokenizer: Tokenizer) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or "auto_map" in values:
            raise InputError("no config of a known architecture", where=file)
        if "model_type" not in values:
            raise InputError("names no model_type", where=file, mend='add "model_type": "llama"')
        kind = values.pop("model_type")
        if "eos_token_id" not in values:
            values |= ids_of_ends(tokenizer)
        return AutoConfig.for_model(kind, **values)
    except (StrictDataclassError, ValueError, TypeError, KeyError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"no config that transformers reads ({reason})", where=file) from error


def _nanogpt_config(state: State, tokenizer: Tokenizer) -> Any:
    """GPT-2's config from the shape that nanoGPT writes beside the weights (`model_args`)."""
    from transformers import GPT2Config

    shape = state.beside.get("model_args")
    names = ("vocab_size", "block_size", "n_embd", "n_layer", "n_head")
    known = shape if isinstance(shape, dict) else {}
    is_known = all(isinstance(known.get(name), int) for name in names)
    if layout_of(state.tensors)[0] != "nanogpt" or not is_known:
        raise InputError("is missing: the weights do not tell their shape", where="--config")
    say("convert: the shape is the checkpoint's own (model_args); activation: exact GELU")
    return GPT2Config(
        vocab_size=known["vocab_size"],
        n_positions=known["block_size"],
        n_embd=known["n_embd"],
        n_layer=known["n_layer"],
        n_head=known["n_head"],
        activation_function="gelu",  # nanoGPT's nn.GELU(); GPT-2's own default is an approximation
        **ids_of_ends(tokenizer),
    )


def _report(state: State, renamed: Renamed, found: Fit, tied: str | None) -> Figures:
    return {
        "layout": renamed.layout,
        "nested_under": list(state.nested_under),
        "wrappers": list(state.wrappers),
        "prefix": renamed.prefix,
        "tensors": len(state.tensors),
        "left_out": renamed.left_out | dict.fromkeys(state.not_tensors, "no tensor"),
        "filled_with_zeros": renamed.filled,
        "tied": tied,
        **found.faults(),
    }


def _refuse(found: Fit, config: ConvertConfig, report: Figures) -> None:
    """Say what does not fit, and stop where it was not allowed.

    Raises:
        InputError: weights are missing, unexpected or of another shape.
    """
    counts = {kind: len(report[kind]) for kind in FAULTS}
    for kind in FAULTS:
        names = list(report[kind])
        for name in names[:SHOWN]:
            shapes = found.mis_shaped.get(name)
            detail = f": {shapes[0]} in the weights, {shapes[1]} in the model" if shapes else ""
            say(f"convert: {kind} {name}{detail}")
        if len(names) > SHOWN:
            say(f"convert: {kind}: and {len(names) - SHOWN} more")
    if refused := [kind for kind in FAULTS if counts[kind] and kind not in config.allow]:
        said = ", ".join(f"{counts[kind]} {kind.replace('_', '-')}" for kind in refused)
        raise InputError(
            f"the weights do not fit the config: {said} (named above)",
            where=config.weights,
            mend=_mend(found) or f"mend --config, or accept it with --allow {','.join(refused)}",
        )


def _mend(found: Fit) -> str | None:
    """The config's key at fault, where the shapes tell it."""
    for name, (weights, model) in found.mis_shaped.items():
        is_table = re.search(r"(embed_tokens|wte)\.weight$", name)
        if is_table and len(weights) == len(model) == 2 and weights[1] == model[1]:
            return f'set "vocab_size": {weights[0]} in the config (it says {model[0]})'
    if found.missing == ["lm_head.weight"] and not found.mis_shaped:
        return 'set "tie_word_embeddings": true in the config, if the model was trained so'
    return None


def _prove(renamed: Renamed, folder: Path) -> None:
    """The folder, opened as anyone opens it, holds the weights and computes with them.

    Raises:
        ParityError: a weight differs, or a logit is not finite.
    """
    model = load_model(folder, torch.float32).eval()
    saved = model.state_dict()
    for name, tensor in renamed.tensors.items():
        if not torch.equal(saved[name], tensor.float()):
            raise ParityError(f"{name} is not what was given", where=folder)
    with torch.inference_mode():
        logits = model(input_ids=torch.arange(8).unsqueeze(0), use_cache=False).logits
    if not bool(logits.isfinite().all()):
        raise ParityError("the model's logits are not finite", where=folder)
