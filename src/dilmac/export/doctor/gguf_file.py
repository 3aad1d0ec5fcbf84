"""A GGUF of any tool: its header, checked before it is believed, and its tensors on the disk."""

from __future__ import annotations

import mmap
import struct
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf

from dilmac.core import InputError
from dilmac.engines import SUPPRESSED_KEY
from dilmac.export.doctor.folder import ModelFolder

KEY = "tokenizer.ggml."
# Bytes of a value by its type's number in the format; strings (8) and arrays (9) say their own.
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
MAX_DEPTH = 4  # of arrays in arrays
MAX_DIMENSIONS = 4
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
        try:
            require_honest_header(path)
            self.reader = gguf.GGUFReader(path)
            self.values = {name: field.contents() for name, field in self.reader.fields.items()}
        except (ValueError, KeyError, IndexError, OSError, OverflowError, TypeError) as error:
            raise InputError(
                f"no readable GGUF ({type(error).__name__}: {error})",
                where=path,
                mend="fetch or export it again",
            ) from error
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

    @cached_property
    def tensors(self) -> dict[str, gguf.ReaderTensor]:
        return {tensor.name: tensor for tensor in self.reader.tensors}

    @property
    def template(self) -> str | None:
        found = self.values.get("tokenizer.chat_template")
        return found if isinstance(found, str) else None

    @property
    def suppressed(self) -> set[int]:
        return set(self.values.get(SUPPRESSED_KEY) or [])


def require_honest_header(path: Path) -> None:
    """Walk through the header before anything is allocated for what it says.

    Raises:
        ValueError: a count or a length is larger than the file, or the file is no GGUF.
    """
    if path.stat().st_size < 24:
        raise ValueError("shorter than a header")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _Walk(data).whole()


class _Walk:
    """A place in the header; every step checks that the file goes on so far."""

    def __init__(self, data: mmap.mmap):
        self.data, self.place, self.size = data, 4, len(data)

    def whole(self) -> None:
        if self.data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        version = self.number("<I")
        if version not in (2, 3):
            raise ValueError(f"version {version}")
        num_tensors, num_keys = self.number("<Q"), self.number("<Q")
        self.require(num_keys, 12)
        for _ in range(num_keys):
            self.string()
            self.value(self.number("<I"))
        self.require(num_tensors, 24)
        for _ in range(num_tensors):
            self.tensor()

    def require(self, count: int, size: int) -> None:
        if count * size > self.size - self.place:
            raise ValueError(f"{count:,} entries are said to follow, the file has no room for them")

    def number(self, form: str) -> int:
        size = struct.calcsize(form)
        self.require(1, size)
        (found,) = struct.unpack_from(form, self.data, self.place)
        self.place += size
        return int(found)

    def string(self) -> None:
        length = self.number("<Q")
        self.require(length, 1)
        self.place += length

    def value(self, kind: int, depth: int = 0) -> None:
        if kind == STRING:
            self.string()
        elif kind in SIZES:
            self.require(1, SIZES[kind])
            self.place += SIZES[kind]
        elif kind == ARRAY and depth < MAX_DEPTH:
            inner, count = self.number("<I"), self.number("<Q")
            if inner in SIZES:
                self.require(count, SIZES[inner])
                self.place += count * SIZES[inner]
                return
            self.require(count, 8)
            for _ in range(count):
                self.value(inner, depth + 1)
        else:
            raise ValueError(f"a value of the unknown type {kind}")

    def tensor(self) -> None:
        self.string()
        num_dimensions = self.number("<I")
        if not 1 <= num_dimensions <= MAX_DIMENSIONS:
            raise ValueError(f"a tensor of {num_dimensions} dimensions")
        count = 1
        for _ in range(num_dimensions):
            count *= self.number("<Q")
        self.require(1, 12)
        self.place += 12  # type and offset, which gguf's own reader checks against the data
        if count > 8 * self.size:  # the smallest types have about a bit and a half a weight
            raise ValueError(f"a tensor of {count:,} numbers")
