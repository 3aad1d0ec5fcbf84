"""Held-out text of corpora: bits per byte on the way and at the end, and continuations to read.

What is measured is spread over the held-out documents of each source by a hash of their texts, so
it does not hang on the order of a shard; a long document gives its beginning only.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import xxhash
from transformers import PreTrainedModel

from dilmac.core import read_documents
from dilmac.evaluate import Bits, measure_bits
from dilmac.tokenizer import Tokenizer

MAX_BYTES = 200_000  # of each source; `dilmac evaluate` measures more [bytes]
SAMPLE_TOKENS = 60


class HeldOut:
    """Held-out documents by source, at most `max_bytes` of each in memory.

    The split is streamed twice: once to choose, once to read what was chosen.
    """

    def __init__(
        self,
        corpora: Path | Sequence[Path],
        tokenizer: Tokenizer,
        *,
        max_bytes: int = MAX_BYTES,
    ):
        """Choose and read.

        Raises:
            InputError: a shard is damaged.
        """
        self.tokenizer = tokenizer
        folders = [corpora] if isinstance(corpora, Path) else list(corpora)
        # A corpus may have been built without held-out documents.
        self._folders = [folder for folder in folders if any(folder.glob("heldout-*"))]
        chosen: dict[str, _Chosen] = {}
        for source, place, text in self._documents():
            chosen.setdefault(source, _Chosen(max_bytes)).offer(place, len(text.encode()))
        caps = {source: group.caps() for source, group in chosen.items()}
        texts: dict[str, dict[int, str]] = {source: {} for source in sorted(chosen)}
        for source, place, text in self._documents():
            if place in caps[source]:
                texts[source][place] = _beginning(text, caps[source][place])
        self.by_source = {
            source: [group[place] for place in sorted(group)] for source, group in texts.items()
        }

    def _documents(self) -> Iterator[tuple[str, int, str]]:
        """Source, place in the order of the hashes, and text."""
        for folder in self._folders:
            for document in read_documents(folder, "heldout"):
                if document["text"]:
                    place = xxhash.xxh3_64_intdigest(document["text"].encode())
                    yield document["source"], place, document["text"]

    def bits_by_source(
        self, model: PreTrainedModel, max_bytes_per_source: int | None = None
    ) -> dict[str, Bits]:
        """On at most so many bytes of each source; by default on everything that was read.

        Smaller limits measure beginnings of the same documents. The model is left in the mode
        (training or not) in which it came, after a fault, too.
        """
        plain = _plain(model)
        was_training = plain.training
        try:
            return {
                name: measure_bits(plain, self.tokenizer, _spread(texts, max_bytes_per_source))
                for name, texts in self.by_source.items()
            }
        finally:
            plain.train(was_training)


class _Chosen:
    """The first documents, in the order of their hashes, that fill `max_bytes`."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.piece = _piece_bytes(max_bytes)
        self.total = 0
        self._heap: list[tuple[int, int]] = []  # minus the place, bytes: the last one on top
        self._places: set[int] = set()

    def offer(self, place: int, num_bytes: int) -> None:
        """Take a document in, and let go of the last ones that are no longer needed."""
        if place in self._places:  # the same text twice
            return
        self._places.add(place)
        heapq.heappush(self._heap, (-place, num_bytes))
        self.total += min(num_bytes, self.piece)
        while self._heap and self.total - min(self._heap[0][1], self.piece) >= self.max_bytes:
            place, num_bytes = heapq.heappop(self._heap)
            self._places.discard(-place)
            self.total -= min(num_bytes, self.piece)

    def caps(self) -> dict[int, int]:
        """The bytes to read of each document, by its place."""
        cap = level((num_bytes for _, num_bytes in self._heap), self.max_bytes)
        return {-place: cap for place, _ in self._heap}


def _piece_bytes(max_bytes: int) -> int:
    """What a document gives at most, so long as there are others: about a half window of text.

    Small measurements take less, to see eight documents at least.
    """
    return min(4000, max(500, max_bytes // 8))


def level(sizes: Iterable[int], total: int) -> int:
    """The largest limit so that sizes, each cut to it, together are at most `total`."""
    ordered = sorted(sizes)
    for place, size in enumerate(ordered):
        if size * (len(ordered) - place) > total:
            return total // (len(ordered) - place)
        total -= size
    return ordered[-1] if ordered else 0


def _spread(texts: list[str], max_bytes: int | None) -> list[str]:
    """At most `max_bytes` of texts, some of each of the first ones."""
    if max_bytes is None:
        return texts
    sizes = [len(text.encode()) for text in texts]
    piece = _piece_bytes(max_bytes)
    filled = accumulate(min(size, piece) for size in sizes)
    needed = 1 + sum(1 for total in filled if total < max_bytes)
    cap = level(sizes[:needed], max_bytes)
    return [cut for text in texts[:needed] if (cut := _beginning(text, cap))]


def _beginning(text: str, max_bytes: int) -> str:
    """The beginning of a text, cut at a character."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _plain(model: Any) -> Any:
    """The model under `torch.compile`: shapes that are met once are not worth compiling for."""
    return getattr(model, "_orig_mod", model)


def continuations(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Iterable[str], seed: int
) -> dict[str, str]:
    """What the model makes of each beginning, sampled at temperature 0.8 with a fixed seed."""
    plain = _plain(model)
    samples = {}
    end = tokenizer.document_start_id
    devices = [plain.device] if plain.device.type == "cuda" else []
    was_training = plain.training
    plain.eval()
    try:
        for prompt in prompts:
            ids = torch.tensor([[end, *tokenizer.encode(prompt)]], device=plain.device)
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(seed)
                out = plain.generate(
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
    finally:
        plain.train(was_training)
    return samples
