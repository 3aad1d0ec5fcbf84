"""`dilmac export gguf`: a model folder as one GGUF file, written tensor by tensor, and proved.

llama.cpp's own converter knows no newly trained vocabulary, and needs `add_prefix_space: false` to
read a SentencePiece one right; this writer states every tokenizer key itself.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import gguf
import numpy as np

from dilmac.core import Artifact, Figures, building, say, write_json
from dilmac.engines import read_layout
from dilmac.export.architectures import Settings, add_shape, architecture_of
from dilmac.export.card import loss_warning, write_card
from dilmac.export.config import GgufConfig
from dilmac.export.importance import importance_of
from dilmac.export.parity import last_rows, prove
from dilmac.export.quantize import K_QUANTS, find_quantizer, quantize_gguf, warn_of_short_rows
from dilmac.export.tensors import Weights, interleaved, plan_tensors
from dilmac.export.vocabulary import add_suppressed, add_vocabulary, read_vocabulary
from dilmac.models import load_model, require_model_folder, with_model_folder
from dilmac.tokenizer import copy_tokenizer

FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


def export_gguf(config: GgufConfig, *, force: bool = False) -> Artifact:
    """Make a folder with `model-TYPE.gguf`, its `parity.json` and the tokenizer's files.

    Raises:
        InputError: no model folder, or an architecture or tokenizer that cannot be written.
        ParityError: llama.cpp does not read the file as transformers reads the model.
    """
    config = with_model_folder(config)
    settings = require_model_folder(config.model)
    architecture_of(settings, config.model)
    with building("gguf", config, {"model": [config.model]}, force=force) as build:
        if build.done:
            return build.done
        return build.finish(write_proved(config, settings, build.path))


def write_proved(config: GgufConfig, settings: Settings, folder: Path) -> Figures:
    """Write the GGUF, the tokenizer's files and `parity.json` into a folder; their figures.

    Raises:
        InputError: a tokenizer or a tensor that cannot be written.
        ParityError: llama.cpp does not read the file as transformers reads the model.
    """
    path = folder / f"model-{config.type}.gguf"
    if config.type in K_QUANTS:
        write_quantized(config, settings, path)
    else:
        write_gguf(config.model, settings, path, config.type)
    copy_tokenizer(config.model, folder)
    stored = storage_figures(path)
    say(f"export: {path.name} {stored['num_bytes'] / 1e6:,.1f} MB; proving parity")
    if config.type in K_QUANTS:
        warn_of_short_rows(stored["tensors"], config.type, stored["bits_per_weight"])
    parity = prove(config, path)
    write_json(folder / "parity.json", parity)
    figures = {"file": path.name, **stored, "parity": parity}
    if warning := loss_warning(figures):
        say(f"warning: {config.type} {warning}")
    run = f"    dilmac chat --model {path.name}\n    llama-cli -m {path.name}"
    write_card(folder, config, figures, library="gguf", run=run)
    return figures


def write_quantized(config: GgufConfig, settings: Settings, path: Path) -> None:
    """Write a K-quant, by way of a GGUF as exact as the folder that is removed again.

    Raises:
        InputError: as `write_gguf`, or there is no llama-cpp-python.
        DilmacError: llama.cpp cannot quantize the file.
    """
    find_quantizer(config.quantize_python, config.type)  # before minutes of writing
    with Weights(config.model) as weights:
        exact = weights.exact_storage()
        plan = plan_tensors(weights, architecture_of(settings, config.model), settings, exact)
    source = path.with_name(f"exact-{exact}.gguf")
    write_gguf(config.model, settings, source, exact)
    importance = {}
    if config.importance_tokens:
        importance = importance_of(load_model(config.model).eval(), plan, last_rows(config))
    quantize_gguf(source, path, config.type, config.quantize_python, importance)
    source.unlink()


def storage_figures(path: Path) -> Figures:
    """Bytes of a GGUF, bits of a weight in it, and how many tensors have which type."""
    tensors = read_layout(path).tensors
    kinds = Counter(gguf.GGMLQuantizationType(tensor.kind).name for tensor in tensors)
    num_weights = sum(math.prod(tensor.shape) for tensor in tensors)
    num_bits = 8 * sum(tensor.end - tensor.start for tensor in tensors)
    return {
        "num_bytes": path.stat().st_size,
        "bits_per_weight": round(num_bits / num_weights, 3),
        "tensors": dict(sorted(kinds.items())),
    }


def write_gguf(folder: Path, settings: Settings, path: Path, storage: str) -> None:
    """Write the file; one tensor is in memory at a time (of experts, one projection of a layer).

    Raises:
        InputError: an architecture, a tokenizer or a tensor that cannot be written.
    """
    architecture = architecture_of(settings, folder)
    vocabulary = read_vocabulary(folder, settings["vocab_size"])
    with Weights(folder) as weights:
        plan = plan_tensors(weights, architecture, settings, storage)
        writer = gguf.GGUFWriter(path, architecture.name)
        writer.add_file_type(FILE_TYPES[storage])
        writer.add_name(folder.name)
        add_shape(writer, architecture, settings)
        add_vocabulary(writer, vocabulary)
        add_suppressed(writer, folder, settings["vocab_size"])
        for written in plan:
            num_bytes = int(np.prod(gguf.quant_shape_to_byte_shape(written.shape, written.kind)))
            writer.add_tensor_info(
                written.name,
                written.shape,
                np.dtype(np.float32),
                num_bytes,
                raw_dtype=written.kind,
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for written in plan:
            data = weights.read(written)
            if architecture.interleaves:
                data = interleaved(written.name, data, settings)
            data = np.ascontiguousarray(data)
            writer.write_tensor_data(gguf.quants.quantize(data, written.kind))
        writer.close()
