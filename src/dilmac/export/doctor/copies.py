"""A copy that is mended: files of a folder, or a GGUF's header. The original is only read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf

from dilmac.core import InputError, read_json, say, write_json
from dilmac.export.doctor.gguf_file import GgufFile

LEFT_OUT = shutil.ignore_patterns("artifact.json", ".git")  # what no longer says the truth
TOKEN_NAMES = ("tokenizer_config.json", "special_tokens_map.json")
TOKENIZER_NAMES = ("tokenizer.json", "tokenizer.model")


class FolderCopy:
    """A copy of a model folder. `touched` are the names of the files that a mend has changed."""

    def __init__(self, source: Path, path: Path):
        self.path = path
        self.touched: set[str] = set()
        shutil.copytree(source, path, ignore=LEFT_OUT, dirs_exist_ok=True)

    @property
    def has_other_tokenizer(self) -> bool:
        """Whether a mend changed how text is read."""
        return bool(self.touched.intersection(TOKENIZER_NAMES))

    def set_json(self, name: str, **values: Any) -> None:
        """Set keys of a JSON file; None takes a key out."""

        def change(content: dict[str, Any]) -> None:
            for key, value in values.items():
                if value is None:
                    content.pop(key, None)
                else:
                    content[key] = value

        self.change_json(name, change)

    def change_json(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a JSON file in place."""
        content = read_json(self.path / name)
        change(content)
        write_json(self.path / name, content)
        self.touched.add(name)

    def name_token(self, key: str, token: str) -> None:
        """Set `eos_token` or `pad_token` wherever the folder names it."""
        for name in TOKEN_NAMES:
            if (self.path / name).is_file():
                self.set_json(name, **{key: token})

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file of text or bytes."""
        data = content.encode() if isinstance(content, str) else content
        (self.path / name).write_bytes(data)
        self.touched.add(name)

    def drop(self, name: str) -> None:
        """Leave a file out; one that another mend has left out already is no fault."""
        (self.path / name).unlink(missing_ok=True)
        self.touched.add(name)


class GgufCopy:
    """Changes of a GGUF's header, written together at the end; tensors are copied byte by byte."""

    def __init__(self, source: GgufFile):
        self.source = source
        self.changes: dict[str, Any] = {}

    def set(self, key: str, value: Any) -> None:
        """Set a key, or take it out where the value is None."""
        self.changes[key] = value

    def get(self, key: str) -> Any:
        """A key as it will be."""
        return self.changes.get(key, self.source.values.get(key))

    def write(self, path: Path) -> None:
        """Write the new file.

        Raises:
            InputError: it names no architecture.
        """
        if not self.source.architecture:
            raise InputError("no general.architecture in it", where=self.source.path)
        writer = gguf.GGUFWriter(path, self.source.architecture)
        alignment = self.source.values.get("general.alignment")
        if alignment is not None:
            writer.data_alignment = int(alignment)
        self._add_values(writer)
        tensors = self.source.tensors.values()
        for tensor in tensors:
            data = tensor.data
            writer.add_tensor_info(
                tensor.name, data.shape, data.dtype, data.nbytes, tensor.tensor_type
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(tensor.data)
        writer.close()

    def _add_values(self, writer: gguf.GGUFWriter) -> None:
        for name, value in self.source.values.items():
            if name == "general.architecture" or name in self.changes:
                continue
            kind, inner = self.source.header.kinds[name]
            if kind == gguf.GGUFValueType.ARRAY and not value:
                say(f"doctor: {name} is an empty list, which gguf's writer leaves out")
                continue
            writer.add_key_value(name, value, kind, sub_type=inner)
        for name, value in self.changes.items():
            if value is not None:
                kind = _type_of(value)
                sub_type = _type_of(value[0], in_list=True) if isinstance(value, list) else None
                writer.add_key_value(name, value, kind, sub_type=sub_type)


def _type_of(value: Any, *, in_list: bool = False) -> gguf.GGUFValueType:
    """How llama.cpp writes such a value: ids and counts unsigned, lists of numbers signed."""
    kinds = gguf.GGUFValueType
    if isinstance(value, bool):
        return kinds.BOOL
    if isinstance(value, int):
        return kinds.INT32 if in_list else kinds.UINT32
    if isinstance(value, float):
        return kinds.FLOAT32
    return kinds.ARRAY if isinstance(value, list) else kinds.STRING
