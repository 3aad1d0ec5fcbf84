"""`dilmac export ollama`: a proved GGUF with a Modelfile, or a folder that Ollama imports."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from typing import Any

from dilmac.core import Artifact, Figures, InputError, building, read_json, say
from dilmac.engines import CHAT_REPETITION_PENALTY, MAX_DEFAULT_CONTEXT, Sampling
from dilmac.export.architectures import Settings, architecture_of
from dilmac.export.chat_template import default_system, go_template
from dilmac.export.config import OllamaConfig
from dilmac.export.gguf import write_proved
from dilmac.export.importable import copy_model, require_importable
from dilmac.export.modelfile import Instruction, write_modelfile
from dilmac.models import base_license, license_file, require_model_folder, with_model_folder
from dilmac.tokenizer import ANSWER_MARKS, END_OF_TEXT, IM_END, IM_START, Tokenizer
from dilmac.turkish import fold, nfc

MODELFILE = "Modelfile"
# Parameter of Ollama → key of generation_config.json, its range.
SAMPLED: dict[str, tuple[str, float, float]] = {
    "temperature": ("temperature", 0, 5),
    "top_k": ("top_k", 0, math.inf),
    "top_p": ("top_p", 0, 1),
    "min_p": ("min_p", 0, 1),
    "repeat_penalty": ("repetition_penalty", 0.01, 10),
}


def export_ollama(config: OllamaConfig, *, force: bool = False) -> Artifact:
    """Make a folder with `model-TYPE.gguf`, its proof and a `Modelfile`, and say how it is run.

    With `weights="folder"` the model folder itself is laid beside the Modelfile, for Ollama to
    convert; that cannot be proved here.

    Raises:
        InputError: no model folder; what cannot be written or imported; another chat template than
            ChatML; a text that cannot stand in a Modelfile.
        ParityError: llama.cpp does not read the file as transformers reads the model.
    """
    config = with_model_folder(config)
    settings = require_model_folder(config.model)
    architecture_of(settings, config.model)
    if config.weights == "folder":
        require_importable(config.model, settings)
    modelfile = write_modelfile(instructions_for(config, settings))
    name = config.name or _ollama_name(config.model)
    with building("ollama", config, {"model": [config.model]}, force=force) as build:
        artifact = build.done
        if artifact is None:
            figures: Figures = {"name": name, "weights": config.weights}
            if config.weights == "gguf":
                figures |= write_proved(config, settings, build.path)
            else:
                copy_model(config.model, build.path)
            (build.path / MODELFILE).write_text(modelfile, encoding="utf-8", newline="\n")
            artifact = build.finish(figures)
    place = shlex.quote(str(artifact.path / MODELFILE))
    say(f"to run it: ollama create {name} -f {place}")
    say(f"      then: ollama run {name}")
    return artifact


def instructions_for(config: OllamaConfig, settings: Settings) -> list[Instruction]:
    """What the Modelfile of a model says.

    Raises:
        InputError: its chat template, its generation config or `--context` do not fit.
    """
    folder = config.model
    control = Tokenizer(folder).control_tokens
    thinks = all(mark in control for mark in ANSWER_MARKS[:2])
    system = config.system
    added = default_system(folder, thinks=thinks)
    system = added if system is None else system
    stops = [token for token in (IM_END, IM_START, END_OF_TEXT) if token in control]
    source = "." if config.weights == "folder" else f"./model-{config.type}.gguf"
    found = [Instruction("FROM", source), Instruction("TEMPLATE", go_template(thinks=thinks))]
    parameters = {"num_ctx": _context(config, settings), **sampling_of(folder)}
    pairs = [*parameters.items(), *(("stop", token) for token in stops)]
    found += [Instruction("PARAMETER", f"{key} {value}") for key, value in pairs]
    if system:
        found.append(Instruction("SYSTEM", system))
    if license_text := _license(folder):
        found.append(Instruction("LICENSE", license_text))
    return found


def _context(config: OllamaConfig, settings: Settings) -> int:
    longest = int(settings["max_position_embeddings"])
    if config.context and config.context > longest:
        raise InputError(
            f"{config.context} tokens, the model has {longest}",
            where="--context",
            mend=f"give {longest} at most",
        )
    return config.context or min(longest, MAX_DEFAULT_CONTEXT)


def sampling_of(folder: Path) -> dict[str, float]:
    """How answers are drawn, by Ollama's names: as generation_config.json says, else as `dilmac
    chat` does. All is stated: Ollama's own defaults penalize repetition.

    Raises:
        InputError: a setting is no number, or out of its range.
    """
    path = folder / "generation_config.json"
    stated = read_json(path)
    usual = Sampling()
    found: dict[str, float] = {
        "temperature": usual.temperature,
        "top_k": usual.top_k,
        "top_p": usual.top_p,
        "min_p": 0.0,
        "repeat_penalty": CHAT_REPETITION_PENALTY,
    }
    for name, (key, least, most) in SAMPLED.items():
        value = stated.get(key)
        if value is not None:
            found[name] = _number(value, key, least, most, path)
    if stated.get("do_sample") is False:
        found["temperature"] = 0.0
    return found | {"top_k": int(found["top_k"])}


def _number(value: Any, key: str, least: float, most: float, path: Path) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most or math.isinf(value):
        raise InputError(f"{key} {value!r} is no number from {least:g} to {most:g}", where=path)
    return float(value)


def _license(folder: Path) -> str:
    """The license's text where a card states one; its name where it has no text."""
    stated = base_license(folder)
    if stated == "unknown":
        return ""
    file = license_file(folder)
    text = file.read_text(encoding="utf-8", errors="replace") if file else stated
    # Page breaks, as in the GPL's text, have no place in a Modelfile.
    return re.sub(r"[\f\r]", "", text).strip() or stated


def _ollama_name(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9_.-]+", "-", fold(nfc(folder.resolve().name)).lower()).strip("-._")
    return name or "model"
