"""Keys and values of one answer in an ONNX graph: one buffer, which the graph writes into.

`GroupQueryAttention` writes in place where past and present are the same memory, of any length
(https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md); handing each step a
new cache halved the speed of dilmac-mini (RESULTS.md, engines).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import torch

PAST, PRESENT = "past_key_values.", "present."


def present_name(past: str) -> str:
    """The output that belongs to an input of keys or values."""
    return PRESENT + past.removeprefix(PAST)


class Passage:
    """What a graph has read of one text, and room for `longest` tokens.

    Memory is the kernel's to give when it is first written, so room that is not used costs none.
    """

    def __init__(self, session: Any, past_names: list[str], shape: tuple[int, int], longest: int):
        """`shape`: heads with keys and values of their own, and the width of one."""
        self._session = session
        self._binding = session.io_binding()
        heads, width = shape
        self._buffers = [
            _value(np.empty((1, heads, longest, width), np.float32)) for _ in past_names
        ]
        for name, buffer in zip(past_names, self._buffers, strict=True):
            self._binding.bind_ortvalue_input(name, buffer)
            self._binding.bind_ortvalue_output(present_name(name), buffer)
        self._mask = np.ones((1, longest), np.int64)
        self._num_read = 0

    def read(self, ids: list[int]) -> torch.Tensor:
        """Logits `[length, rows]` of what follows each of `ids`, which are read after the others.

        Raises:
            ValueError: there is no room for them.
        """
        read_then = self._num_read + len(ids)
        if read_then > self._mask.shape[1]:
            raise ValueError(f"{read_then} tokens in room for {self._mask.shape[1]}")
        tokens, mask = _value(np.array([ids], np.int64)), _value(self._mask[:, :read_then])
        self._binding.bind_ortvalue_input("input_ids", tokens)
        self._binding.bind_ortvalue_input("attention_mask", mask)
        self._binding.bind_output("logits")
        self._session.run_with_iobinding(self._binding)
        self._num_read = read_then
        logits = self._binding.get_outputs()[-1]
        return torch.from_numpy(logits.numpy()[0])


def _value(array: np.ndarray[Any, Any]) -> Any:
    """The array itself as ONNX Runtime takes it, not a copy."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
