"""Tools to harm a copy of a sound model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import sentencepiece_model_pb2
from tiny_models import change_json

from dilmac.export.doctor.copies import GgufCopy
from dilmac.export.doctor.gguf_file import GgufFile

Harm = Callable[[Path], None]
KEY = "tokenizer.ggml."
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def setting(name: str, **values: Any) -> Harm:
    """Set keys of a JSON file; None takes one out."""
    return lambda folder: change_json(folder / name, **values)


def settings(**values: dict[str, Any]) -> Harm:
    """Set keys of several JSON files, named without their suffix."""

    def harm(folder: Path) -> None:
        for name, changes in values.items():
            change_json(folder / f"{name}.json", **changes)

    return harm


def spec(change: Callable[[dict[str, Any]], None]) -> Harm:
    """Change tokenizer.json in place."""

    def harm(folder: Path) -> None:
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    return harm


def putting(**values: Any) -> Harm:
    """Set parts of tokenizer.json."""
    return spec(lambda content: content.update(values))


def cutting(*changes: tuple[int, dict[str, Any]]) -> Harm:
    """Change steps of a byte-level tokenizer.json: 0 is its Split, 1 its ByteLevel."""

    def change(content: dict[str, Any]) -> None:
        for place, values in changes:
            content["pre_tokenizer"]["pretokenizers"][place].update(values)

    return spec(change)


def proto(change: Callable[[Any], None]) -> Harm:
    """Change tokenizer.model in place."""

    def harm(folder: Path) -> None:
        path = folder / "tokenizer.model"
        content = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
        change(content)
        path.write_bytes(content.SerializeToString())

    return harm


def typed(kind: int, *names: str) -> Harm:
    """Type pieces of tokenizer.model."""

    def change(content: Any) -> None:
        for piece in content.pieces:
            if piece.piece in names:
                piece.type = kind

    return proto(change)


def swapped(content: Any) -> None:
    """Two pieces in each other's place."""
    one, other = content.pieces[-1], content.pieces[-2]
    one.piece, other.piece = other.piece, one.piece


def tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Harm:
    """Change the safetensors file in place."""

    def harm(folder: Path) -> None:
        path = next(folder.glob("*.safetensors"))
        content = load_file(path)
        change(content)
        save_file({name: t.contiguous() for name, t in content.items()}, path, {"format": "pt"})

    return harm


def filled(value: Any, rows: slice, name: str = EMBEDDING) -> Harm:
    """Fill rows of a table with a number, or with what a function makes of them."""

    def change(content: dict[str, torch.Tensor]) -> None:
        table = content[name]
        table[rows] = value(table[rows]) if callable(value) else value

    return tensors(change)


def header(**values: Any) -> Harm:
    """Set keys of the tokenizer in `model.gguf`; None takes one out."""
    return whole_header({KEY + key: value for key, value in values.items()})


def whole_header(values: dict[str, Any]) -> Harm:
    """Set keys of `model.gguf`; a function makes the value of the old one."""

    def harm(folder: Path) -> None:
        path = folder / "model.gguf"
        copy = GgufCopy(GgufFile(path))
        for key, value in values.items():
            copy.set(key, value(copy.get(key)) if callable(value) else value)
        copy.write(folder / "harmed.gguf")
        (folder / "harmed.gguf").replace(path)

    return harm


def retyped(kind: int, *names: str) -> Harm:
    """Type tokens of `model.gguf`."""

    def harm(folder: Path) -> None:
        tokens = GgufFile(folder / "model.gguf").tokens

        def change(types: list[int]) -> list[int]:
            pairs = zip(tokens, types, strict=True)
            return [kind if token in names else old for token, old in pairs]

        header(token_type=change)(folder)

    return harm


def named(key: str, token: str) -> Harm:
    """Give an id of `model.gguf` to a token."""

    def harm(folder: Path) -> None:
        row = GgufFile(folder / "model.gguf").vocabulary[token]
        header(**{key: row})(folder)

    return harm


def overwritten(rows: slice, byte: int, name: str = "token_embd.weight") -> Harm:
    """Fill rows of a table in `model.gguf` with one byte: 0 is zero, 0xFF is NaN in f16 and f32."""

    def harm(folder: Path) -> None:
        reader = gguf.GGUFReader(folder / "model.gguf", "r+")
        tensor = next(tensor for tensor in reader.tensors if tensor.name == name)
        tensor.data.view("uint8")[rows] = byte
        reader.data.flush()

    return harm


def both(*harms: Harm) -> Harm:
    """One after the other."""

    def harm(folder: Path) -> None:
        for each in harms:
            each(folder)

    return harm


def written(name: str, content: str | bytes) -> Harm:
    """Write a file."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data) and None


def removed(name: str) -> Harm:
    """Take a file away."""
    return lambda folder: (folder / name).unlink()


def quantized(storage: str, file_type: gguf.LlamaFileType, *, only_blocks: bool = True) -> Harm:
    """Matrices of `model.gguf` in a type, and a file type that says another."""
    kind = gguf.GGMLQuantizationType[storage]

    def harm(folder: Path) -> None:
        path, target = folder / "model.gguf", folder / "harmed.gguf"
        source = GgufFile(path)
        writer = gguf.GGUFWriter(target, source.architecture)
        for name, value in (source.values | {"general.file_type": int(file_type)}).items():
            if name != "general.architecture":
                kinds = source.header.kinds[name]
                writer.add_key_value(name, value, kinds[0], sub_type=kinds[1])
        for tensor in source.tensors.values():
            data = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            is_changed = len(tensor.shape) > 1 and tensor.name.startswith("blk.")
            new = kind if is_changed or (not only_blocks and len(tensor.shape) > 1) else None
            new = new or tensor.tensor_type
            writer.add_tensor(tensor.name, gguf.quants.quantize(data, new), raw_dtype=new)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        target.replace(path)

    return harm
