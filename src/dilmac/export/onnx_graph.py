"""The graph of a model by onnxruntime-genai's builder, and one table where two are the same."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dilmac.core import InputError, MissingDependencyError

MODEL, DATA = "model.onnx", "model.onnx.data"
TABLE, HEAD = "/model/embed_tokens", "/lm_head/MatMul_Q8"  # names that the builder gives


def build_graph(model: Path, folder: Path, storage: str) -> None:
    """Write `model.onnx`, `model.onnx.data` and `genai_config.json` into a folder.

    The whole model is in memory, in float32. Nothing is asked of a hub.

    Raises:
        MissingDependencyError: the builder is not installed.
        InputError: it cannot write the model.
    """
    with _silent(), tempfile.TemporaryDirectory() as cache:
        builder = _builder()
        asked = (str(model), str(model), str(folder), storage, "cpu", cache)
        try:
            options = builder.parse_extra_options(*asked, ["hf_token=false"])
            is_tied = options["shared_embeddings"]
            settings = options["hf_details"]["hf_config"]
            positions = _position_tables(settings)
            # Its own tables of scaled positions are not those of transformers (0.18: with linear
            # ones log-probabilities were off by 2.8). It makes default ones, which are replaced.
            theta = settings.rope_parameters["rope_theta"]
            settings.rope_parameters = {"rope_type": "default", "rope_theta": theta}
            builder.create_model(*asked, **options)
        except (ValueError, NotImplementedError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"onnxruntime-genai cannot write it as {storage} ({reason})", where=model
            ) from error
    if storage == "int8" and is_tied:
        _share_table(folder)
    _drop_commit(folder)
    _write_tables(folder, positions)


def _builder() -> Any:
    try:
        import onnx  # noqa: F401 (the builder's, and the engine's)
        import onnxruntime_genai

        # The builder imports its own files by bare names, such as `quantization`: a file of that
        # name in the folder of whoever runs this must not come before them.
        own = str(Path(onnxruntime_genai.__file__).parent / "models")
        sys.path.insert(0, own)
        try:
            from onnxruntime_genai.models import builder
        finally:
            sys.path.remove(own)
    except ImportError as error:
        raise MissingDependencyError(
            f"needs {(error.name or 'onnxruntime_genai').replace('_', '-')}",
            where="export onnx",
            mend="pip install 'dilmac[onnx]'",
        ) from error
    return builder


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the builder's lines, and its quantizer's `logging.basicConfig`, from the screen."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _position_tables(settings: Any) -> dict[str, Any]:
    """Cosines and sines of every position as transformers has them, `[context, head size / 2]`."""
    import torch
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    places = torch.arange(settings.max_position_embeddings)[None]
    tables = LlamaRotaryEmbedding(copy.deepcopy(settings))(torch.zeros(1), places)
    half = tables[0].shape[-1] // 2  # the second half repeats the first
    names = ("cos_cache", "sin_cache")
    return {name: table[0, :, :half].numpy() for name, table in zip(names, tables, strict=True)}


def _write_tables(folder: Path, tables: dict[str, Any]) -> None:
    """Write tables over those of the same names and shapes in the graph's data."""
    import onnx

    graph = onnx.load_model(folder / MODEL, load_external_data=False).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    with (folder / DATA).open("r+b") as file:
        for name, table in tables.items():
            tensor = stored[name]
            if tuple(tensor.dims) != table.shape:
                raise AssertionError(f"{name} is {tensor.dims} in the graph, not {table.shape}")
            place = {entry.key: entry.value for entry in tensor.external_data}
            file.seek(int(place["offset"]))
            file.write(table.astype("<f4").tobytes())


def _drop_commit(folder: Path) -> None:
    """Leave the builder's version alone in the graph: it adds the commit of whatever git repository
    stands around the installation, which is another one each day."""
    import onnx

    model = onnx.load_model(folder / MODEL, load_external_data=False)
    model.producer_version = model.producer_version.partition("+")[0]
    (folder / MODEL).write_bytes(model.SerializeToString(deterministic=True))


def _share_table(folder: Path) -> None:
    """Read a tied table's rows out of the int8 head, in place of a second table in float32.

    The builder shares int4 tables itself, and leaves int8 ones apart. (dilmac-mini: 17.0 MB
    instead of 49.8.)
    """
    import onnx_ir as ir

    model = ir.load(folder / MODEL)
    nodes = {node.name: node for node in model.graph}
    gather, head = nodes[f"{TABLE}/Gather"], nodes[HEAD]
    rows, width = head.attributes["N"].as_int(), head.attributes["K"].as_int()
    block = head.attributes["block_size"].as_int()
    if width % block:
        return  # rows end inside a block: they cannot be read one by one
    _, packed, scales = head.inputs[:3]
    rows_in_float, ids = gather.inputs
    shape = ir.node("Constant", [], {"value": ir.tensor([rows, width])}, name=f"{TABLE}/shape")
    flat = ir.node("Reshape", [packed, shape.outputs[0]], name=f"{TABLE}/Reshape")
    found = ir.node(
        "GatherBlockQuantized",
        [flat.outputs[0], ids, scales],
        {"bits": 8, "block_size": block, "gather_axis": 0, "quantize_axis": 1},
        domain="com.microsoft",
        name=f"{TABLE}/GatherBlockQuantized",
    )
    model.graph.insert_before(gather, [shape, flat, found])
    gather.outputs[0].replace_all_uses_with(found.outputs[0])
    model.graph.remove(gather, safe=True)
    del model.graph.initializers[rows_in_float.name]
    # What is read lazily out of the old data cannot be written over it.
    shared = folder / "shared"
    shared.mkdir()
    ir.save(model, shared / MODEL, external_data=DATA, size_threshold_bytes=0)
    for name in (MODEL, DATA):
        (shared / name).replace(folder / name)
    shared.rmdir()
