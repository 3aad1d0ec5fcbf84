"""That a mended copy is the model it was: ids and log-probabilities, compared with it.

A folder that can be written as GGUF is: llama.cpp's reading of the copy is compared with
transformers' of the model. Another is opened in transformers alone. Of a GGUF every tensor keeps
its bytes, and the source, where it is known, is compared with it.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from dilmac.core import DilmacError, Figures, InputError, ParityError, say
from dilmac.engines import Engine, EngineSpec
from dilmac.export.config import GgufConfig
from dilmac.export.doctor.config import MendConfig
from dilmac.export.doctor.copies import FolderCopy
from dilmac.export.doctor.folder import ModelFolder
from dilmac.export.doctor.gguf_file import GgufFile
from dilmac.export.fuzz import fuzz_strings
from dilmac.export.gguf import write_gguf
from dilmac.export.parity import prove
from dilmac.models import load_model, require_model_folder
from dilmac.tokenizer import Tokenizer

TYPES = {"float16": "f16", "bfloat16": "bf16"}  # what a GGUF of weights of this type is written as
FILE_TYPES = {
    gguf.LlamaFileType.ALL_F32: "f32",
    gguf.LlamaFileType.MOSTLY_F16: "f16",
    gguf.LlamaFileType.MOSTLY_BF16: "bf16",
}
MAX_DIFFERENCE = 1e-5  # of a logit, of the same weights in the same runtime


def prove_folder(original: Path, copy: FolderCopy, config: MendConfig) -> Figures:
    """Compare a mended folder with its original, or with itself in llama.cpp where the original
    cannot be opened or its tokenizer was mended.

    Raises:
        ParityError: it is another model, or llama.cpp reads it otherwise.
    """
    if not any(copy.path.glob("*.safetensors")) or not (copy.path / "config.json").is_file():
        return {"how": "none", "reason": "no model in the folder"}
    try:
        return _in_llamacpp(original, copy, config)
    except ParityError:
        raise
    except DilmacError as error:
        say(f"doctor: not provable in llama.cpp ({error.found}); compared in transformers")
    try:
        return _in_transformers(original, copy, config)
    except ParityError:
        raise
    except DilmacError as error:
        return {"how": "none", "reason": error.found}


def _in_llamacpp(original: Path, copy: FolderCopy, config: MendConfig) -> Figures:
    settings = require_model_folder(copy.path)
    storage = TYPES.get(str(settings.get("dtype") or settings.get("torch_dtype")), "f32")
    with tempfile.TemporaryDirectory(dir=copy.path.parent, prefix=".proof-") as folder:
        file = Path(folder) / "model.gguf"
        write_gguf(copy.path, settings, file, storage)
        for reference in _references(original, copy):
            asked = _gguf_config(reference, storage, config)
            try:
                return {"how": "llama.cpp", "with": _role(reference, original)} | prove(asked, file)
            except InputError:
                if reference == copy.path:
                    raise
    raise AssertionError("a copy is its own last reference")


def _references(original: Path, copy: FolderCopy) -> list[Path]:
    return [copy.path] if copy.has_other_tokenizer else [original, copy.path]


def _role(reference: Path, original: Path) -> str:
    return "the original" if reference == original else "the copy in transformers"


def _gguf_config(model: Path, storage: str, config: MendConfig) -> GgufConfig:
    return GgufConfig(
        model=model,
        out=config.out,
        type=storage,  # type: ignore[arg-type]  # one of four, as TYPES and FILE_TYPES give
        seed=config.seed,
        num_lines=config.num_lines,
        num_fuzz=config.num_fuzz,
        num_positions=config.num_positions,
    )


def _in_transformers(original: Path, copy: FolderCopy, config: MendConfig) -> Figures:
    """The same ids, and the same logits on them."""
    import torch

    texts = fuzz_strings(config.num_fuzz, config.seed)
    theirs = Tokenizer(copy.path)
    rows = [theirs.encode(text) for text in texts]
    if not copy.has_other_tokenizer:
        ours = Tokenizer(original)
        if [ours.encode(text) for text in texts] != rows:
            raise ParityError("the mended copy gives other ids", where=copy.path)
    ids = torch.tensor([[row for ids in rows for row in ids][:256]])
    with torch.inference_mode():
        one, other = (load_model(place).eval()(ids).logits for place in (original, copy.path))
    difference = float((one - other).abs().max())
    if not difference <= MAX_DIFFERENCE:
        raise ParityError(f"the copy's logits differ by up to {difference:.2g}", where=copy.path)
    return {
        "how": "transformers",
        "with": "the original",
        "ids": {"fuzz_strings": len(texts), "different": 0},
        "largest_difference": difference,
    }


def prove_gguf(original: GgufFile, mended: Path, config: MendConfig) -> Figures:
    """Compare a mended GGUF with its original, tensor by tensor, and with its source.

    Raises:
        ParityError: a tensor has other bytes, or llama.cpp does not read the file as the source is
            read.
    """
    copied = GgufFile(mended)
    digests = [_digests(file) for file in (original, copied)]
    if digests[0] != digests[1]:
        raise ParityError("a tensor has other bytes than in the original", where=mended)
    known: Figures = {"tensors": len(digests[0]), "tensors_equal": True}
    source = original.source
    if source is not None and source.config and source.tensors:
        storage = FILE_TYPES.get(copied.values.get("general.file_type"), "q8_0")
        asked = _gguf_config(source.path, storage, config)
        return {"how": "llama.cpp", "with": "the source", **known} | prove(asked, mended)
    return known | _opened(mended, source, config)


def _opened(mended: Path, source: ModelFolder | None, config: MendConfig) -> Figures:
    """At least that llama.cpp opens it, and reads text as the tokenizer beside it does."""
    texts = fuzz_strings(config.num_fuzz, config.seed)
    try:
        with Engine(EngineSpec(kind="llamacpp", model=mended)) as engine:
            theirs = engine.tokenize(texts)
    except DilmacError as error:
        return {"how": "tensors", "reason": error.found}
    if source is None or source.tokenizer is None:
        return {"how": "opened in llama.cpp", "reason": "no source to compare with"}
    for text, ids in zip(texts, theirs, strict=True):
        if source.tokenizer.encode(text) != ids:
            raise ParityError(f"llama.cpp reads {text!r} otherwise than the tokenizer beside it")
    return {"how": "ids in llama.cpp", "fuzz_strings": len(texts), "different": 0}


def _digests(file: GgufFile) -> dict[str, tuple[Any, ...]]:
    return {
        name: (
            tensor.tensor_type,
            tensor.shape,
            _sha256(tensor.data),
        )
        for name, tensor in file.tensors.items()
    }


def _sha256(data: np.ndarray) -> str:
    whole: Any = data.reshape(-1).view(np.uint8)  # a buffer, for which numpy's types have no word
    return hashlib.sha256(whole).hexdigest()
