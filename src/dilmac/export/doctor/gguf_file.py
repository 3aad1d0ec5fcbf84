"""A GGUF of any tool: its header, checked before it is believed, and its tensors on the disk."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from dilmac.core import InputError
from dilmac.engines import SUPPRESSED_KEY
from dilmac.export.doctor.folder import ModelFolder
from dilmac.export.doctor.header import GgufTensor, read_header

KEY = "tokenizer.ggml."
SAME_SHARE = 0.9  # of a folder's tokens that a GGUF beside it has at the same ids, to be its own


class GgufFile:
    """The header of a GGUF and its tensors, memory-mapped. `source` is the model or tokenizer that
    it was made of: the folder that the user names, or the one that it lies in if it fits."""

    def __init__(self, path: Path, source: ModelFolder | None = None):
        """Open it.

        Raises:
            InputError: no GGUF, cut off, or with a header that lies.
        """
        self.path = path
        if not path.is_file():
            raise InputError("no such file", where=path)
        self.header = read_header(path)
        self._named = source

    @cached_property
    def source(self) -> ModelFolder | None:
        if self._named is not None:
            return self._named
        beside = ModelFolder(self.path.parent)
        if not self.tokens or not beside.vocabulary:
            return None
        same = sum(self.token(row) == name for name, row in beside.vocabulary.items())
        return beside if same >= SAME_SHARE * len(beside.vocabulary) else None

    @property
    def modelfile(self) -> str | None:
        return ModelFolder(self.path.parent).modelfile

    def tokenizer_value(self, key: str) -> Any:
        """The value of `tokenizer.ggml.KEY`; None where it is not stated."""
        return self.values.get(KEY + key)

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    @property
    def model(self) -> str | None:
        """llama.cpp's word for the tokenizer: `llama` is SentencePiece, `gpt2` byte-level."""
        found = self.tokenizer_value("model")
        return found if isinstance(found, str) else None

    @cached_property
    def tokens(self) -> list[str]:
        return self._list("tokens")

    @cached_property
    def types(self) -> list[int]:
        return self._list("token_type")

    def _list(self, key: str) -> list[Any]:
        found = self.tokenizer_value(key)
        return found if isinstance(found, list) else []

    def token(self, row: int) -> str | None:
        return self.tokens[row] if 0 <= row < len(self.tokens) else None

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        return {token: row for row, token in enumerate(self.tokens)}

    @property
    def tensors(self) -> dict[str, GgufTensor]:
        return self.header.tensors

    @property
    def values(self) -> dict[str, Any]:
        return self.header.values

    @property
    def template(self) -> str | None:
        found = self.values.get("tokenizer.chat_template")
        return found if isinstance(found, str) else None

    @property
    def suppressed(self) -> set[int]:
        return set(self.values.get(SUPPRESSED_KEY) or [])
