"""What a transplant saves and costs: tokens, and bits per byte, on the same bytes."""

from __future__ import annotations

from pathlib import Path

import torch

from dilmac.core import Figures, read_measured_texts, say
from dilmac.evaluate import measure_bits
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer
from dilmac.transplant.config import TransplantConfig

KINDS = ("turkish", "english", "code")
CONTEXT = 512  # tokens of a window: short, so that a laptop measures in a minute
Texts = dict[str, list[str]]


def measured_texts(config: TransplantConfig) -> Texts:
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


def bits_by_kind(folder: Path, texts: Texts, stage: str) -> dict[str, float]:
    """Bits per byte of a model folder on each kind of text, in fp32."""
    if not texts:
        return {}
    model = load_model(folder, torch.float32)
    tokenizer = Tokenizer(folder)
    context = min(CONTEXT, int(model.config.get_text_config().max_position_embeddings))
    found = {}
    for kind, parts in texts.items():
        bits = measure_bits(model, tokenizer, parts, context=context).per_byte
        found[kind] = round(bits, 4)
        say(f"transplant: {bits:.4f} bits per byte, {kind}, {stage}")
    return found


def measure_change(texts: Texts, before: Path, after: Path) -> Figures:
    """Tokens saved and bits per byte before and after, where there are texts to measure."""
    if not texts:
        return {}
    return {
        "tokens": tokens_saved(texts, Tokenizer(before), Tokenizer(after)),
        "bits_per_byte": {
            "before": bits_by_kind(before, texts, "before"),
            "step_0": bits_by_kind(after, texts, "step 0"),
        },
    }
