"""What the header of a GGUF says of its model and vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gguf

from dilmac.core import InputError
from dilmac.engines.gguf_layout import Layout, read_layout, unreadable
from dilmac.engines.gguf_model import SUPPRESSED_KEY, require_sound_model
from dilmac.tokenizer import SPACE_MARK, byte_of_symbol

PRE = "qwen2"  # the one way to split a text for byte-level BPE that was compared


@dataclass(frozen=True)
class Header:
    """Context [tokens], rows, control tokens, and what each row is in a text.

    `streamed` are the bytes that llama.cpp writes for a row by itself, [rows]. `row_of` finds a row
    by its bytes; of a byte token and a piece with the same bytes it is the piece. `suppressed` are
    never to be sampled. `plain_id` is a row that is no part of a character.
    """

    architecture: str
    context: int
    num_rows: int
    is_byte_level: bool
    control: dict[str, int]
    streamed: list[bytes]
    row_of: dict[bytes, int]
    suppressed: list[int]
    plain_id: int

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.row_of))

    def rows_of(self, data: bytes) -> list[int]:
        """Rows of any bytes, each the longest that is there."""
        rows = []
        while data:
            parts = (data[:size] for size in range(min(self._longest, len(data)), 0, -1))
            part = next(part for part in parts if part in self.row_of)
            rows.append(self.row_of[part])
            data = data[len(part) :]
        return rows


def read_header(path: Path) -> Header:
    """Read it.

    Raises:
        InputError: the file is no GGUF, is cut off, lies about what is in it, or has a tokenizer of
            another kind.
    """
    if not path.is_file():
        raise InputError("no such file", where=path)
    layout = read_layout(path)
    model, pre = (layout.values.get(f"tokenizer.ggml.{key}", "") for key in ("model", "pre"))
    if model != "llama" and (model, pre) != ("gpt2", PRE):
        raise InputError(
            f"the GGUF's tokenizer is {model!r} with pre {pre!r}; only 'llama', and 'gpt2' "
            f"with pre {PRE!r}, can be run",
            where=path,
        )
    try:
        require_sound_model(layout)
        return _header_of(layout, is_byte_level=model == "gpt2")
    except (ValueError, KeyError) as error:
        raise unreadable(path, error) from error


def require_adapter(path: Path, architecture: str) -> None:
    """Refuse what llama.cpp cannot lay over a model of that architecture.

    Raises:
        InputError: the file is no GGUF, is damaged, or is no LoRA adapter of such a model.
    """
    if not path.is_file():
        raise InputError("no such file", where=path)
    values = read_layout(path).values
    found = values.get("general.type"), values.get("adapter.type")
    if found != ("adapter", "lora"):
        raise InputError(
            "is no LoRA adapter", where=path, mend="make one with `dilmac export adapter`"
        )
    if values.get("general.architecture") != architecture:
        raise InputError(
            f"is an adapter of {values.get('general.architecture')}, the model is {architecture}",
            where=path,
        )


def _header_of(layout: Layout, *, is_byte_level: bool) -> Header:
    tokens: list[str] = layout.array("tokenizer.ggml.tokens")
    types: list[int] = layout.array("tokenizer.ggml.token_type")
    pairs = list(zip(tokens, types, strict=True))
    read = _read_byte_level if is_byte_level else _read_sentencepiece
    streamed = [_streamed(token, kind, read) for token, kind in pairs]
    content = (gguf.TokenType.BYTE, gguf.TokenType.NORMAL)  # the later wins
    unused = (row for row, kind in enumerate(types) if kind == gguf.TokenType.UNUSED)
    told = layout.array(SUPPRESSED_KEY) if SUPPRESSED_KEY in layout.values else []
    plain = next((row for row, token in enumerate(tokens) if token in ("a", "e", "i")), None)
    if plain is None:
        raise ValueError("no row for a, e or i")
    return Header(
        architecture=str(layout.values["general.architecture"]),
        context=int(layout.values[f"{layout.values['general.architecture']}.context_length"]),
        num_rows=len(tokens),
        is_byte_level=is_byte_level,
        control={
            token: row for row, (token, kind) in enumerate(pairs) if kind == gguf.TokenType.CONTROL
        },
        streamed=streamed,
        row_of={
            streamed[row]: row
            for wanted in content
            for row, kind in enumerate(types)
            if kind == wanted
        },
        suppressed=sorted({*told, *unused}),
        plain_id=plain,
    )


def _streamed(token: str, kind: int, read: Callable[[str], bytes]) -> bytes:
    match kind:
        case gguf.TokenType.NORMAL:
            return read(token)
        case gguf.TokenType.USER_DEFINED:
            return token.encode()
        case gguf.TokenType.BYTE:
            return bytes([int(token[3:5], 16)])
    return b""  # control tokens and unused rows


def _read_sentencepiece(token: str) -> bytes:
    return token.replace(SPACE_MARK, " ").encode()


def _read_byte_level(token: str) -> bytes:
    table = byte_of_symbol()
    return bytes(table[symbol] for symbol in token)
