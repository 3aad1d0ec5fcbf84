"""What a transplant saves and costs: tokens, and bits per byte, on the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dilmac.core import (
    Figures,
    expand_inputs,
    input_record,
    open_artifact,
    read_measured_texts,
    say,
)
from dilmac.evaluate import measure_bits
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer
from dilmac.transplant.config import MeasuredConfig

KINDS = ("turkish", "english", "code")
CONTEXT = 512  # tokens of a window: short, so that a laptop measures in a minute
Texts = dict[str, list[str]]


def text_inputs(config: MeasuredConfig) -> dict[str, list[Path]]:
    """The files of each kind, as an artifact records them."""
    named = {kind: getattr(config, kind) for kind in KINDS}
    return {kind: expand_inputs(files) if files else [] for kind, files in named.items()}


def measured_texts(config: MeasuredConfig) -> Texts:
    """The user's texts by kind, those that he gave.

    Raises:
        InputError: a file is missing, damaged or empty.
    """
    found: Texts = {}
    for kind in KINDS:
        if files := getattr(config, kind):
            found[kind] = list(read_measured_texts(files, max_bytes=config.max_text_bytes))
    return found


def tokens_saved(texts: Texts, before: Tokenizer, after: Tokenizer) -> Figures:
    """Tokens of each kind of text under both tokenizers, and the share that is saved."""
    figures: Figures = {}
    for kind, parts in texts.items():
        old, new = (sum(map(len, t.encode_arrays(parts))) for t in (before, after))
        figures[kind] = {"before": old, "after": new, "saved": round(1 - new / max(1, old), 4)}
    return figures


def bits_by_kind(model: Any, tokenizer: Tokenizer, texts: Texts, stage: str) -> dict[str, float]:
    """Bits per byte of a model on each kind of text."""
    context = min(CONTEXT, int(model.config.get_text_config().max_position_embeddings))
    found = {}
    for kind, parts in texts.items():
        bits = measure_bits(model, tokenizer, parts, context=context).per_byte
        found[kind] = round(bits, 4)
        say(f"{bits:.4f} bits per byte, {kind}, {stage}")
    return found


def bits_of_folder(folder: Path, texts: Texts, stage: str) -> dict[str, float]:
    """The same of a model folder, in fp32."""
    if not texts:
        return {}
    return bits_by_kind(load_model(folder, torch.float32), Tokenizer(folder), texts, stage)


def measure_change(
    texts: Texts, before: Path, after: Path, probed: dict[str, float] | None
) -> Figures:
    """Tokens saved, and bits per byte before, after, and after a probe, where there are texts."""
    if not texts:
        return {}
    bits = {
        "before": bits_of_folder(before, texts, "before"),
        "step_0": bits_of_folder(after, texts, "step 0"),
    }
    return {
        "tokens": tokens_saved(texts, Tokenizer(before), Tokenizer(after)),
        "bits_per_byte": bits | ({"probe": probed} if probed else {}),
    }


def measure_healing(config: MeasuredConfig, given: Path, texts: Texts, healed: Path) -> Figures:
    """Bits per byte of a healed model, below those of all stages before it."""
    if not texts:
        return {}
    bits = _stages_before(config, given) or {"before": bits_of_folder(given, texts, "before")}
    number = 1 + sum(name.startswith("healed") for name in bits)
    name = "healed" if number == 1 else f"healed_{number}"
    return {"bits_per_byte": bits | {name: bits_of_folder(healed, texts, name)}}


def _stages_before(config: MeasuredConfig, given: Path) -> dict[str, dict[str, float]]:
    """What the model's own artifact says, where it was measured on the same texts."""
    if not (given / "artifact.json").is_file():
        return {}
    artifact = open_artifact(given, "model")
    ours = {
        kind: [input_record(path) for path in paths] for kind, paths in text_inputs(config).items()
    }
    theirs = {kind: artifact.manifest.inputs.get(kind, []) for kind in KINDS}
    same_size = artifact.manifest.config.get("max_text_bytes") == config.max_text_bytes
    return artifact.figures.get("bits_per_byte", {}) if ours == theirs and same_size else {}
