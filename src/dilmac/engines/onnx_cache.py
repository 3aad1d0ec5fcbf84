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
LEAST_ROOM = 256  # tokens


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
    """What a graph has read of one text, with room for `longest` tokens at most."""

    def __init__(self, graph: Graph, longest: int):
        self._graph, self._longest = graph, longest
        self._binding = graph.session.io_binding()
        self._caches: dict[str, Array] = {}
        self._logits = np.empty((1, 0, graph.num_rows), np.float32)
        self._mask = np.ones((1, 0), np.int64)
        self._num_read = 0

    def read(self, ids: list[int]) -> Array:
        """Logits `[length, rows]` of what follows each of `ids`, which are read after the others.

        They stand until the next call, which may write over them.

        Raises:
            ValueError: there is no room for them.
        """
        read_then = self._num_read + len(ids)
        if read_then > self._longest:
            raise ValueError(f"{read_then} tokens in room for {self._longest}")
        if read_then > self._mask.shape[1]:
            self._make_room(read_then)
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

    def _make_room(self, length: int) -> None:
        """Buffers for `length` tokens, and as many more: a long window costs what is used of it."""
        room = min(self._longest, max(2 * length, LEAST_ROOM))
        shape = 1, self._graph.num_heads, room, self._graph.head_size
        held = slice(0, self._num_read)
        for name in self._graph.past_names:
            buffer = np.empty(shape, np.float32)
            if self._num_read:
                buffer[:, :, held] = self._caches[name][:, :, held]
            self._caches[name] = buffer
            value = _value(buffer)
            self._binding.bind_ortvalue_input(name, value)
            self._binding.bind_ortvalue_output(present_name(name), value)
        self._mask = np.ones((1, room), np.int64)


def _value(array: Array) -> Any:
    """The array itself as ONNX Runtime takes it, not a copy."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
