"""Damaged files, made from sound ones: what is changed, and the bytes that come of it."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf

LIES = (0, 2**31, 2**40, 2**63, 2**64 - 1)
Damaged = tuple[str, bytes]


def put(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def put_u64(data: bytes, place: int, value: int) -> bytes:
    return put(data, place, struct.pack("<Q", value % 2**64))


def flips(data: bytes, end: int, count: int, seed: int) -> Iterator[Damaged]:
    """Single bits of the first `end` bytes."""
    chooser = random.Random(seed)
    for _ in range(count):
        place, bit = chooser.randrange(end), chooser.randrange(8)
        yield f"bit {bit} of byte {place}", put(data, place, bytes([data[place] ^ 1 << bit]))


def cuts(data: bytes, end: int) -> Iterator[Damaged]:
    """Cut off in the header of `end` bytes, at its end, and in the data."""
    places = [
        0,
        1,
        4,
        7,
        8,
        9,
        16,
        23,
        24,
        25,
        end - 1,
        end,
        end + 1,
        len(data) - 33,
        len(data) - 1,
    ]
    places += [end * share // 20 for share in range(1, 20)]
    places += [end + (len(data) - end) * share // 10 for share in range(1, 10)]
    for place in places:
        yield f"cut off at {place}", data[:place]


# ---- GGUF


def damaged_ggufs(file: Path) -> Iterator[Damaged]:
    """Everything but flipped bits."""
    data = file.read_bytes()
    reader = gguf.GGUFReader(file)
    yield from cuts(data, int(reader.data_offset))
    yield "a longer file", data + b"\0" * 64
    for name, new in (("magic", b"GGUE"), ("magic", b"\x80\x04."), ("version", b"GGUF\x01\0\0\0")):
        yield name, put(data, 0, new)
    yield "big-endian", put(data, 4, b"\0\0\0\x03")
    for what, place in (("tensors", 8), ("keys", 16)):
        stated = struct.unpack_from("<Q", data, place)[0]
        for lie in (*LIES, stated - 1, stated + 1):
            yield f"{lie} {what} for {stated}", put_u64(data, place, lie)
    keys = [field for name, field in reader.fields.items() if not name.startswith("GGUF.")]
    for field in keys:
        yield from _damaged_key(data, field)
    for tensor in reader.tensors[:6]:
        yield from _damaged_tensor(data, tensor)
    for old, new in (
        (b"llama.block_count", b"llama.vocab_sizes"),
        (b"general.file_type", b"general.alignment"),
        (b"tokenizer.ggml.bos_token_id", b"tokenizer.ggml.eos_token_id"),
        (b"llama.attention.key_length", b"llama.rope.dimension_count"),
        (b"blk.0.attn_q.weight", b"blk.0.attn_k.weight"),
        (b"blk.0.attn_q.weight", b"blk.1.attn_q.weight"),
        (b"blk.1.attn_q.weight", b"blk.7.attn_q.weight"),
        (b"blk.1.ffn_up.weight", b"blk.1.ffn_uq.weight"),
        (b"token_embd.weight", b"token_ends.weight"),
    ):
        yield f"{new.decode()} for {old.decode()}", data.replace(old, new, 1)


def _damaged_key(data: bytes, field: Any) -> Iterator[Damaged]:
    length = len(field.name.encode())
    kind = field.offset + 8 + length
    for lie in (LIES[0], LIES[2], LIES[4]):
        yield f"a name of {lie} bytes for {field.name}", put_u64(data, field.offset, lie)
    yield f"type 13 of {field.name}", put(data, kind, struct.pack("<I", 13))
    yield f"type 2**31 of {field.name}", put(data, kind, struct.pack("<I", 2**31))
    if field.types[0] in (gguf.GGUFValueType.STRING, gguf.GGUFValueType.ARRAY):
        place = kind + 4 + (4 if field.types[0] == gguf.GGUFValueType.ARRAY else 0)
        stated = struct.unpack_from("<Q", data, place)[0]
        for lie in (*LIES[1:], stated + 1, 20 << 20):
            yield f"{lie} values for {stated} of {field.name}", put_u64(data, place, lie)


def _damaged_tensor(data: bytes, tensor: Any) -> Iterator[Damaged]:
    start = tensor.field.offset + 8 + len(tensor.name.encode())
    dimensions = len(tensor.shape)
    for lie in (0, 5, 2**31):
        yield f"{lie} dimensions of {tensor.name}", put(data, start, struct.pack("<I", lie))
    first = struct.unpack_from("<Q", data, start + 4)[0]
    for lie in (0, first + 1, 2**32, 2**63):
        yield f"{lie} columns of {tensor.name}", put_u64(data, start + 4, lie)
    kind = start + 4 + 8 * dimensions
    for lie in (4, 99, 2**31, 8):
        yield f"type {lie} of {tensor.name}", put(data, kind, struct.pack("<I", lie))
    offset = struct.unpack_from("<Q", data, kind + 4)[0]
    for lie in (offset + 1, offset + 32, 2**40, 2**64 - 32):
        yield f"offset {lie} of {tensor.name}", put_u64(data, kind + 4, lie)


# ---- safetensors


def damaged_safetensors(file: Path) -> Iterator[Damaged]:
    """Everything but flipped bits."""
    data = file.read_bytes()
    length = struct.unpack_from("<Q", data, 0)[0]
    yield from cuts(data, 8 + length)
    yield "a longer file", data + b"\0"
    yield "a pickle", b"\x80\x04\x95" + data[3:]
    for lie in (*LIES, length - 1, length + 1, length + 8, 100_000_001):
        yield f"a header of {lie} bytes for {length}", put_u64(data, 0, lie)
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    for what, text in _damaged_headers(header):
        raw = text if isinstance(text, bytes) else text.encode()
        yield what, struct.pack("<Q", len(raw)) + raw + body


def _damaged_headers(header: dict[str, Any]) -> Iterator[tuple[str, str | bytes]]:
    names = sorted(
        (name for name in header if name != "__metadata__"),
        key=lambda name: header[name]["data_offsets"],
    )
    one, two = names[:2]
    text = json.dumps(header)

    def with_entry(**changes: Any) -> str:
        entry = {key: value for key, value in (header[one] | changes).items() if value is not None}
        return json.dumps({**header, one: entry})

    start, end = header[one]["data_offsets"]
    yield "no JSON", text[:-1]
    yield "no UTF-8", text.encode().replace(b"weight", b"we\xffght", 1)
    yield "a byte order mark", "\ufeff" + text
    yield "a list", json.dumps(list(header))
    yield "a number", "7"
    yield "deep", "[" * 100_000
    yield "a name twice", text[:-1] + f", {json.dumps(one)}: {json.dumps(header[one])}}}"
    yield "a key twice", text.replace('"dtype":', '"dtype": "F32", "dtype":', 1)
    yield "half a character", text.replace(one, "\\ud800", 1)
    yield "a list for metadata", json.dumps({**header, "__metadata__": ["pt"]})
    yield "a number in the metadata", json.dumps({**header, "__metadata__": {"format": 1}})
    yield "an entry that is a list", json.dumps({**header, one: [1, 2]})
    yield "one tensor less", json.dumps({k: v for k, v in header.items() if k != names[-1]})
    yield "a gap", json.dumps({k: v for k, v in header.items() if k != two})
    yield "one place for two", json.dumps({**header, two: header[one]})
    for offsets in (
        [end, start],
        [start, end + 4],
        [start + 4, end + 4],
        [-4, end - start - 4],
        [start, 2**64],
        [float(start), end],
        [start],
        [str(start), str(end)],
        None,
    ):
        yield f"offsets {offsets}", with_entry(data_offsets=offsets)
    for dtype in ("F33", "f32", "F64", "F16", "Q4_K", 32, None, ["F32"]):
        yield f"dtype {dtype}", with_entry(dtype=dtype)
    for shape in ([2**62, 4], [-1, -64], [64.0], ["64"], [True], 64, {}, [0], [[64]], None):
        yield f"shape {shape}", with_entry(shape=shape)
    yield "a key more", with_entry(code="os.system")
