"""Held-out text of a corpus: bits per byte on the way and at the end, and continuations to read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import PreTrainedModel

from dilmac.core import read_documents
from dilmac.evaluate import Bits, measure_bits
from dilmac.tokenizer import Tokenizer

FINAL_BYTES = 200_000  # measured at the end at most; `dilmac evaluate` measures more [bytes]
SAMPLE_TOKENS = 60


class HeldOut:
    """The held-out documents of a corpus, by source."""

    def __init__(self, corpus: Path, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.by_source: dict[str, list[str]] = {}
        if not any(corpus.glob("heldout-*")):
            return
        left = FINAL_BYTES
        for document in read_documents(corpus, "heldout"):
            left -= len(document["text"].encode())
            if left < 0:
                break
            self.by_source.setdefault(document["source"], []).append(document["text"])

    def bits_per_byte(self, model: PreTrainedModel, max_bytes: int) -> float | None:
        """On at most `max_bytes`, some of every source; None where nothing is held out."""
        share = max_bytes // max(1, len(self.by_source))
        texts = [text for group in self.by_source.values() for text in _first(group, share)]
        return round(measure_bits(model, self.tokenizer, texts).per_byte, 4) if texts else None

    def bits_by_source(self, model: PreTrainedModel) -> dict[str, Bits]:
        """On everything that was read, for each source."""
        return {
            name: measure_bits(model, self.tokenizer, texts)
            for name, texts in self.by_source.items()
        }


def _first(texts: Iterable[str], max_bytes: int) -> list[str]:
    """The beginning of `texts`, cut at a character after `max_bytes`."""
    taken: list[str] = []
    for text in texts:
        data = text.encode()[:max_bytes]
        taken.append(data.decode("utf-8", "ignore"))
        max_bytes -= len(data)
        if max_bytes <= 0:
            break
    return taken


def continuations(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Iterable[str], seed: int
) -> dict[str, str]:
    """What the model makes of each beginning, sampled at temperature 0.8 with a fixed seed."""
    samples = {}
    end = tokenizer.document_start_id
    was_training = model.training
    model.eval()
    for prompt in prompts:
        ids = torch.tensor([[end, *tokenizer.encode(prompt)]], device=model.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=SAMPLE_TOKENS,
                do_sample=True,
                temperature=0.8,
                top_p=0.95,
                eos_token_id=end,
                pad_token_id=end,
            )
        samples[prompt] = tokenizer.decode(out[0].tolist())
    model.train(was_training)
    return samples
