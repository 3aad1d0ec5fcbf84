"""Keys and values of one answer in an ONNX graph: one buffer, which the graph writes into.

`GroupQueryAttention` writes in place where past and present are the same memory, of any length
(https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md); handing each step a
new cache halved the speed of dilmac-mini (RESULTS.md, engines).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from dilmac.engines.choosing import Array

PAST, PRESENT = "past_key_values.", "present."


def present_name(past: str) -> str:
    """The output that belongs to an input of keys or values."""
    return PRESENT + past.removeprefix(PAST)


@dataclass(frozen=True)
class Graph:
    """A session with a decoder, and its measures."""

    session: Any
    past_names: list[str]
    num_heads: int  # with keys and values of their own
    head_size: int
    num_rows: int  # of the vocabulary


class Passage:
    """What a graph has read of one text, and room for `longest` tokens.

    Memory is the kernel's to give when it is first written, so room that is not used costs none.
    """

    def __init__(self, graph: Graph, longest: int):
        self._graph = graph
        self._binding = graph.session.io_binding()
        shape = 1, graph.num_heads, longest, graph.head_size
        self._buffers = [_value(np.empty(shape, np.float32)) for _ in graph.past_names]
        for name, buffer in zip(graph.past_names, self._buffers, strict=True):
            self._binding.bind_ortvalue_input(name, buffer)
            self._binding.bind_ortvalue_output(present_name(name), buffer)
        self._mask = np.ones((1, longest), np.int64)
        self._logits = np.empty((1, 0, graph.num_rows), np.float32)
        self._num_read = 0

    def read(self, ids: list[int]) -> Array:
        """Logits `[length, rows]` of what follows each of `ids`, which are read after the others.

        They stand until the next call, which may write over them.

        Raises:
            ValueError: there is no room for them.
        """
        read_then = self._num_read + len(ids)
        if read_then > self._mask.shape[1]:
            raise ValueError(f"{read_then} tokens in room for {self._mask.shape[1]}")
        tokens, mask = _value(np.array([ids], np.int64)), _value(self._mask[:, :read_then])
        self._binding.bind_ortvalue_input("input_ids", tokens)
        self._binding.bind_ortvalue_input("attention_mask", mask)
        if self._logits.shape[1] != len(ids):
            self._logits = np.empty((1, len(ids), self._graph.num_rows), np.float32)
            self._binding.bind_ortvalue_output("logits", _value(self._logits))
        self._graph.session.run_with_iobinding(self._binding)
        self._num_read = read_then
        logits: Array = self._logits[0]
        return logits


def _value(array: Array) -> Any:
    """The array itself as ONNX Runtime takes it, not a copy."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
