"""An ONNX model before a runtime sees it: whole, and with no data outside its folder.

Format: https://onnx.ai/onnx/repo-docs/ExternalData.html (a tensor names a file beside the model,
with an offset and a length).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dilmac.core import InputError, MissingDependencyError

try:
    import onnx
    from google.protobuf.message import DecodeError
except ImportError as error:
    raise MissingDependencyError(
        "an ONNX model needs onnx and onnxruntime", mend="pip install 'dilmac[onnx]'"
    ) from error

MODEL_NAME = "model.onnx"
AGAIN = "export it again, or copy it again"


def require_sound_onnx(folder: Path) -> Path:
    """The `model.onnx` of a folder, if all that it names is there, whole and in that folder.

    Raises:
        InputError: no such file, no ONNX model, or tensors outside the folder or cut off.
    """
    path = folder / MODEL_NAME
    if not path.is_file():
        raise InputError(
            f"no {MODEL_NAME} in it", where=folder, mend="make one with `dilmac export onnx`"
        )
    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise InputError(
            f"{MODEL_NAME} is no ONNX model, or cut off", where=path, mend=AGAIN
        ) from error
    if not model.graph.node:
        raise InputError(f"{MODEL_NAME} has no nodes: cut off", where=path, mend=AGAIN)
    for tensor in _tensors_of(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _require_inside(tensor, folder, path)
    return path


def require_one_buffer(path: Path, cache: dict[str, str]) -> None:
    """Each input of a cache and its output (`cache`) belong to one `GroupQueryAttention`, the node
    that writes keys and values in place.

    Raises:
        InputError: another node has one of them.
    """
    graph = onnx.load_model(path, load_external_data=False).graph
    attention = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
    # Its inputs 3 and 4 are past keys and values, its outputs 1 and 2 what they become.
    found = {
        pair for node in attention for pair in zip(node.input[3:5], node.output[1:3], strict=False)
    }
    if missing := set(cache.items()) - found:
        raise InputError(
            f"{min(missing)[0]!r} is no cache of a GroupQueryAttention, which writes in place",
            where=path,
            mend="make the folder with `dilmac export onnx`",
        )


def _require_inside(tensor: Any, folder: Path, path: Path) -> None:
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    file = _inside(folder, location)
    if file is None:
        raise InputError(
            f"tensor {tensor.name!r} has its data outside the folder ({location!r})",
            where=path,
            mend="only data beside the model is loaded",
        )
    if not file.is_file():
        raise InputError(f"its data file {location!r} is missing", where=path, mend=AGAIN)
    try:
        offset, length = int(said.get("offset", 0)), int(said.get("length", 0))
    except ValueError as error:
        raise InputError(
            f"tensor {tensor.name!r}: offset or length is no number", where=path
        ) from error
    num_bytes = file.stat().st_size
    if offset < 0 or length < 0 or offset + length > num_bytes:
        raise InputError(
            f"{location} has {num_bytes:,} bytes, tensor {tensor.name!r} ends at "
            f"{offset + length:,}: cut off",
            where=path,
            mend=AGAIN,
        )


def _inside(folder: Path, location: str | bytes) -> Path | None:
    """The file that a tensor names, if that is a name and leads into the folder."""
    if not location or isinstance(location, bytes):  # protobuf gives bytes of what is no UTF-8
        return None
    try:
        file = (folder / location).resolve(strict=False)
        file.is_file()
    except (OSError, ValueError):  # too long, or with a null byte
        return None
    is_inside = file.is_relative_to(folder.resolve()) and not Path(location).is_absolute()
    return file if is_inside else None


def _tensors_of(model: Any) -> Iterator[Any]:
    """Every tensor of a model: initializers and attributes, in subgraphs and functions too."""
    yield from _tensors_of_graph(model.graph)
    for function in model.functions:
        yield from _tensors_of_nodes(function.node)


def _tensors_of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for one in (*sparse, *attribute.sparse_tensors):
            yield from (one.values, one.indices)
        for graph in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
            yield from _tensors_of_graph(graph)
