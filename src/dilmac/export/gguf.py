"""`dilmac export gguf`: a model folder as one GGUF file, written tensor by tensor, and proved.

llama.cpp's own converter knows no newly trained vocabulary, and needs `add_prefix_space: false` to
read a SentencePiece one right; this writer states every tokenizer key itself.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from dilmac.core import Artifact, Figures, building, say, write_json
from dilmac.export.architectures import Settings, add_shape, architecture_of
from dilmac.export.config import GgufConfig
from dilmac.export.parity import prove
from dilmac.export.tensors import Weights, interleaved, plan_tensors
from dilmac.export.vocabulary import add_suppressed, add_vocabulary, read_vocabulary
from dilmac.models import require_model_folder, with_model_folder
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
    write_gguf(config.model, settings, path, config.type)
    copy_tokenizer(config.model, folder)
    num_bytes = path.stat().st_size
    say(f"export: {path.name} {num_bytes / 1e6:,.1f} MB; proving parity")
    parity = prove(config, path)
    write_json(folder / "parity.json", parity)
    return {"file": path.name, "num_bytes": num_bytes, "parity": parity}


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
