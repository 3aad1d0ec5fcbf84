"""Whether a model folder is a plain Llama that anybody's transformers opens."""

from __future__ import annotations

from pathlib import Path

SENTENCE = "Bir varmış bir yokmuş, evvel zaman içinde kalbur saman içinde."


def check_plain_llama(folder: Path) -> str:
    """Open it as a stranger would, and run it; the class.

    Raises:
        SystemExit: it is no LlamaForCausalLM, or its logits are not finite.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    name = type(model).__name__
    if name != "LlamaForCausalLM":
        raise SystemExit(f"{folder} opens as {name}, not as LlamaForCausalLM")
    ids = AutoTokenizer.from_pretrained(folder)(SENTENCE, return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits
    if not bool(torch.isfinite(logits).all()):
        raise SystemExit(f"{folder}: logits that are not finite")
    return name
