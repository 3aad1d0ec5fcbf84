"""A model folder of any tool, as far as its files can be read without running anything of it.

Everything is read when a rule first asks for it; tensors stay on the disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers

from dilmac.core import InputError, read_json
from dilmac.models import INDEX, read_stored, read_weight_map, require_indexed
from dilmac.tokenizer import Tokenizer, is_byte_level

CONFIG = "config.json"
GENERATION = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_MODEL = "tokenizer.model"
TEMPLATE = "chat_template.jinja"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODELFILE = "Modelfile"
# Any of these makes a folder one that can be examined.
MARKS = (CONFIG, ADAPTER_CONFIG, TOKENIZER_JSON, TOKENIZER_MODEL)

WRITERS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "ForImageTextToText")
TIKTOKEN = re.compile(rb"[A-Za-z0-9+/=]+ \d+\r?\n")  # a line of Llama 3's tokenizer.model
# Names of the tables, by how they end; PyTorch's and transformers' families.
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
HEADS = ("lm_head.weight", "embed_out.weight")


class Tensor(NamedTuple):
    """A tensor of a safetensors file; `shape` as the header says."""

    name: str
    file: Path
    shape: tuple[int, ...]
    dtype: str


class ModelFolder:
    """The files of a folder, parsed once; what is not there is empty or None. `base` is the folder
    of an adapter's base, where the user names it."""

    def __init__(self, path: Path, base: ModelFolder | None = None):
        self.path = path
        self.named_base = base

    def is_there(self) -> bool:
        """Whether there is a model, an adapter or a tokenizer in it."""
        return any(map(self.has, MARKS)) or any(self.path.glob("*.safetensors"))

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    @cached_property
    def config(self) -> dict[str, Any]:
        return read_json(self.path / CONFIG)

    @cached_property
    def text_config(self) -> dict[str, Any]:
        """Settings of the language model, which stand apart in a model with eyes."""
        inner = self.config.get("text_config")
        return {**self.config, **inner} if isinstance(inner, dict) else self.config

    @property
    def generates(self) -> bool:
        """Whether it is a model that writes text; a classifier has neither head nor ends."""
        names = self.config.get("architectures") or ["ForCausalLM"]
        return bool(self.config) and str(names[0]).endswith(WRITERS)

    @cached_property
    def generation(self) -> dict[str, Any]:
        return read_json(self.path / GENERATION)

    @cached_property
    def tokenizer_config(self) -> dict[str, Any]:
        return read_json(self.path / TOKENIZER_CONFIG)

    @cached_property
    def adapter(self) -> dict[str, Any]:
        return read_json(self.path / ADAPTER_CONFIG)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """`tokenizer.json`; empty where there is none."""
        spec = read_json(self.path / TOKENIZER_JSON)
        if spec and not isinstance(spec.get("model"), dict):
            raise InputError("no tokenizer: it has no model", where=self.path / TOKENIZER_JSON)
        return spec

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """`tokenizer.json` in use."""
        return Tokenizer(self.path) if self.spec else None

    @property
    def fast(self) -> tokenizers.Tokenizer | None:
        return self.tokenizer.fast if self.tokenizer else None

    @property
    def is_byte_level(self) -> bool:
        return self.fast is not None and is_byte_level(self.fast)

    @cached_property
    def proto(self) -> Any | None:
        """`tokenizer.model` as SentencePiece's own message; None where there is none, or one of
        tiktoken's under the same name.

        Raises:
            InputError: it is no SentencePiece model.
        """
        path = self.path / TOKENIZER_MODEL
        if not path.is_file() or TIKTOKEN.match(data := path.read_bytes()):
            return None
        from google.protobuf.message import DecodeError
        from sentencepiece import sentencepiece_model_pb2

        try:
            proto = sentencepiece_model_pb2.ModelProto.FromString(data)
        except DecodeError as error:
            raise InputError("no SentencePiece model", where=path) from error
        if not proto.pieces:
            raise InputError("no SentencePiece model: it has no pieces", where=path)
        return proto

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Tokens and their ids, added ones too; of `tokenizer.json`, or of `tokenizer.model`."""
        if self.fast is not None:
            return dict(self.fast.get_vocab(with_added_tokens=True))
        if self.proto is not None:
            return {piece.piece: row for row, piece in enumerate(self.proto.pieces)}
        return {}

    @property
    def num_rows(self) -> int:
        """Rows that the tokenizer needs; 0 where there is none."""
        return max(self.vocabulary.values(), default=-1) + 1

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the safetensors files, by name, from their headers.

        Raises:
            InputError: a file is damaged, or one that the index names is missing.
        """
        files = sorted(self.path.glob("*.safetensors"))
        held = {file.name: read_stored(file)[0] for file in files}
        if (index := self.path / INDEX).is_file():
            require_indexed(index, read_weight_map(index), held)
        return {
            name: Tensor(name, stored.shard, stored.shape, stored.dtype)
            for tensors in held.values()
            for name, stored in tensors.items()
        }

    def table(self, endings: tuple[str, ...]) -> Tensor | None:
        """The input or the output table: the first tensor of two dimensions that ends so."""
        for name, tensor in self.tensors.items():
            if name.endswith(endings) and len(tensor.shape) == 2 and "vision" not in name:
                return tensor
        return None

    @property
    def embedding(self) -> Tensor | None:
        return self.table(EMBEDDINGS)

    @property
    def head(self) -> Tensor | None:
        return self.table(HEADS)

    @cached_property
    def is_tied(self) -> bool | None:
        """Whether the config ties the tables, by its class's default where it is silent; None where
        nobody knows."""
        for settings in (self.config, self.text_config):
            if isinstance(stated := settings.get("tie_word_embeddings"), bool):
                return stated
        from transformers import CONFIG_MAPPING

        kind = self.config.get("model_type")
        if kind not in CONFIG_MAPPING or "text_config" in self.config:
            return None
        return bool(getattr(CONFIG_MAPPING[kind](), "tie_word_embeddings", True))

    def token_named(self, key: str) -> str | None:
        """The string of `eos_token`, `pad_token`, …, which is a string or an object."""
        found = self.tokenizer_config.get(key)
        if isinstance(found, dict):
            found = found.get("content")
        return found if isinstance(found, str) else None

    @cached_property
    def templates(self) -> dict[str, str]:
        """Chat templates by the place that they stand in, the one that transformers takes first."""
        found = {}
        if self.has(TEMPLATE):
            found[TEMPLATE] = read_text(self.path / TEMPLATE)
        stated = self.tokenizer_config.get("chat_template")
        if isinstance(stated, list):  # several by name; the default is the one in use
            named = {item.get("name"): item.get("template") for item in stated if item}
            stated = named.get("default")
        if isinstance(stated, str):
            found[f"{TOKENIZER_CONFIG}: chat_template"] = stated
        legacy = read_json(self.path / "chat_template.json").get("chat_template")
        if isinstance(legacy, str):
            found["chat_template.json"] = legacy
        return found

    @property
    def template(self) -> str | None:
        return next(iter(self.templates.values()), None)

    @cached_property
    def modelfile(self) -> str | None:
        return read_text(self.path / MODELFILE) if self.has(MODELFILE) else None


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        InputError: it is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"no UTF-8 text (byte {error.start})", where=path) from error


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """A safetensors file, memory-mapped.

    Raises:
        InputError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            yield tensors
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise InputError(f"no readable safetensors ({error})", where=file) from error
