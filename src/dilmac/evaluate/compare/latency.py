"""How long a model takes for a text on this machine, now."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dilmac.core import Figures
from dilmac.evaluate.classifier import Classifier
from dilmac.models import is_classifier, load_model
from dilmac.tokenizer import Tokenizer


def measured_latency(
    folder: Path, prompts: Sequence[str], *, repeats: int, new_tokens: int
) -> Figures:
    """Median milliseconds to read a prompt (a classifier: to label it), and for a new token.

    A prompt goes alone, in fp32, on the CPU or on the GPU that there is. The first round is not
    counted.

    Raises:
        InputError: the folder holds no model that can be loaded.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if is_classifier(folder):
        classifier = Classifier(folder, device)
        rows = classifier.encode(prompts)
        read = [_timed(classifier.model, row, 0) for row in rows * (repeats + 1)][len(rows) :]
        return {"ms_per_prompt": _median(took for took, _ in read), "ms_per_new_token": None}
    model: Any = load_model(folder).to(device).eval()
    tokenizer = Tokenizer(folder)
    tokenizer.require_fit(model.get_input_embeddings().num_embeddings)
    rows = [[tokenizer.document_start_id, *tokenizer.encode(prompt)] for prompt in prompts]
    both = [_timed(model, row, new_tokens) for row in rows * (repeats + 1)][len(rows) :]
    return {
        "ms_per_prompt": _median(took for took, _ in both),
        "ms_per_new_token": _median(took / new_tokens for _, took in both),
    }


def _timed(model: Any, row: list[int], new_tokens: int) -> tuple[float, float]:
    """Seconds to read a row, and to write `new_tokens` after it, the likeliest each."""
    import torch

    ids = torch.tensor([row], device=model.device)
    writes = new_tokens > 0
    with torch.inference_mode():
        started = time.perf_counter()
        out = model(input_ids=ids, use_cache=writes)
        _wait(model)
        read = time.perf_counter()
        for _ in range(new_tokens):
            best = out.logits[:, -1:].argmax(dim=-1)
            out = model(input_ids=best, past_key_values=out.past_key_values, use_cache=True)
        _wait(model)
    return read - started, time.perf_counter() - read


def _wait(model: Any) -> None:
    import torch

    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def _median(seconds: Any) -> float:
    return round(1000 * float(statistics.median(seconds)), 2)


def bits_per_byte(folder: Path, texts: Sequence[str]) -> float | None:
    """Bits per byte of a language model on texts; None for a classifier, which has none."""
    from dilmac.evaluate.bits import measure_bits

    if is_classifier(folder):
        return None
    model: Any = load_model(folder)
    return round(measure_bits(model, Tokenizer(folder), texts).per_byte, 4)
