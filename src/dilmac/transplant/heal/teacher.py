"""The model before the transplant, as a teacher: likelihoods and states of the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dilmac.models import load_model
from dilmac.tokenizer import Chunk, Side
from dilmac.transplant.heal.chunks import Pair

BOUNDARY = 0.1  # likelihood of a word's end from which a chunk may end there (Minixhofer 2025)
CONTROL_OR_SPACE = (b" ", b"\n", b"\t", b"\r")


class Teacher(nn.Module):  # type: ignore[misc]
    """A frozen model with its tokenizer; it reads rows of the student's ids."""

    def __init__(self, folder: Path, student: Path, dtype: torch.dtype):
        super().__init__()
        self.pair = Pair.of(student, folder)
        self.model: Any = load_model(folder, dtype).eval().requires_grad_(False)
        rows = self.model.get_output_embeddings().weight.shape[0]
        self.register_buffer("opens", _opens(self.pair.teacher, rows), persistent=False)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def likelihoods(self, ids: list[int]) -> list[tuple[Chunk, float]]:
        """Log-likelihood [nats] of every chunk after the first, given all before it.

        Chunks are joined until their end is one where a word may end: elsewhere the teacher's
        likelihood depends on how its tokens happen to be cut.
        """
        theirs, chunks = self.pair.read(ids)
        tokens = torch.tensor([theirs], device=self.opens.device)
        logits = self.model(input_ids=tokens, use_cache=False).logits[0].float()
        logs = logits.log_softmax(-1)
        each = logs[:-1].gather(-1, tokens[0, 1:, None])[:, 0].cpu()
        ends = (logs.exp() @ self.opens).cpu()
        found: list[tuple[Chunk, float]] = []
        begun: Chunk | None = None
        for chunk in chunks[1:]:
            begun = chunk if begun is None else _joined(begun, chunk)
            if float(ends[begun.target[1] - 1]) > BOUNDARY:
                first, last = begun.target
                found.append((begun, float(each[first - 1 : last - 1].sum())))
                begun = None
        return found

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def states(self, ids: list[int], layer: int) -> list[tuple[int, torch.Tensor]]:
        """The student's place where a chunk ends, and the teacher's state there, [width]."""
        theirs, chunks = self.pair.read(ids)
        tokens = torch.tensor([theirs], device=self.opens.device)
        hidden = states_after(self.model, layer, input_ids=tokens)[0]
        return [(chunk.source[1] - 1, hidden[chunk.target[1] - 1]) for chunk in chunks]


def _joined(first: Chunk, last: Chunk) -> Chunk:
    return Chunk(*((a[0], b[1]) for a, b in zip(first, last, strict=True)))


def _opens(side: Side, num_rows: int) -> torch.Tensor:
    """1 for tokens that begin a word or a turn, [rows]."""
    marks = torch.zeros(num_rows)
    for row, data in enumerate(side.rows):
        if row in side.control_rows or (data and data.startswith(CONTROL_OR_SPACE)):
            marks[row] = 1
    return marks


class _EnoughError(Exception):
    """Ends a forward pass at the layer that was wanted."""


def states_after(model: Any, layer: int, **inputs: Any) -> torch.Tensor:
    """States after so many layers, [rows, tokens, width]; the rest is not calculated."""
    kept: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        kept.append(output[0] if isinstance(output, tuple) else output)
        raise _EnoughError

    decoder = model.get_decoder()
    hook = decoder.layers[layer - 1].register_forward_hook(keep)
    try:
        decoder(use_cache=False, **inputs)
    except _EnoughError:
        return kept[0]
    finally:
        hook.remove()
    raise AssertionError("the layer was not reached")
