"""The far side of K-quants: run as a file by the Python that has llama-cpp-python.

It needs nothing of dilmaç, for that Python may stand in an environment of its own: llama-cpp-python
is built from source, and brings what has no place in the others. Standard input: one JSON object
with `source`, `target`, `file_type` (llama.cpp's number), `threads`, and `importance`, an .npz of
tensors' names and mean squares, or null. Exit code 1: it failed; why stands last in what it said.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any


def main() -> int:
    asked = json.load(sys.stdin)
    import llama_cpp

    listener = _listener(llama_cpp)  # kept: llama.cpp calls it
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = asked["file_type"]
    parameters.nthread = asked["threads"]
    kept = _importance(llama_cpp, asked["importance"])  # kept: llama.cpp reads it
    if kept:
        parameters.imatrix = kept[0]
    source, target = asked["source"].encode(), asked["target"].encode()
    failed = llama_cpp.llama_model_quantize(source, target, ctypes.byref(parameters))
    del listener
    return 1 if failed else 0


def _listener(llama_cpp: Any) -> Any:
    """All that llama.cpp says goes to standard error: of every tensor a line."""

    def write(_level: int, text: bytes, _data: Any) -> None:
        sys.stderr.write(text.decode("utf-8", "replace"))
        sys.stderr.flush()

    listen = llama_cpp.llama_log_callback(write)
    llama_cpp.llama_log_set(listen, ctypes.c_void_p(0))
    return listen


def _importance(llama_cpp: Any, path: str | None) -> tuple[Any, ...]:
    """llama.cpp's array of structs, which a nameless one ends, and what it points to."""
    if path is None:
        return ()
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        values = {name: np.ascontiguousarray(file[name], np.float32) for name in file.files}
    pointer = ctypes.POINTER(ctypes.c_float)
    structs = (llama_cpp.llama_model_imatrix_data * (len(values) + 1))()
    for struct, (name, value) in zip(structs, values.items(), strict=False):
        struct.name, struct.size = name.encode(), value.size
        struct.data = value.ctypes.data_as(pointer)
    return structs, values


if __name__ == "__main__":
    sys.exit(main())
