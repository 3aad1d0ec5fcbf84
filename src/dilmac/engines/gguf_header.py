"""What the header of a GGUF says of its model and vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf

from dilmac.core import InputError
from dilmac.tokenizer import SPACE_MARK, byte_of_symbol

SUPPRESSED_KEY = "dilmac.suppress_tokens"  # ours, written by `dilmac export gguf`
PRE = "qwen2"  # the one way to split a text for byte-level BPE that was compared


@dataclass(frozen=True)
class Header:
    """Context [tokens], rows, control tokens, and what each row is in a text.

    `streamed` are the bytes that llama.cpp writes for a row by itself, [rows]. `row_of` finds a row
    by its bytes; of a byte token and a piece with the same bytes it is the piece. `suppressed` are
    never to be sampled. `plain_id` is a row that is no part of a character.
    """

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
        InputError: the file is no GGUF, is cut off, or has a tokenizer of another kind.
    """
    if not path.is_file():
        raise InputError("no such file", where=path)
    try:
        fields = gguf.GGUFReader(path).fields
        model, pre = (_value(fields, f"tokenizer.ggml.{key}", "") for key in ("model", "pre"))
        if model != "llama" and (model, pre) != ("gpt2", PRE):
            raise InputError(
                f"the GGUF's tokenizer is {model!r} with pre {pre!r}; only 'llama', and 'gpt2' "
                f"with pre {PRE!r}, can be run",
                where=path,
            )
        return _header_of(fields, is_byte_level=model == "gpt2")
    except (ValueError, KeyError, IndexError, OSError, OverflowError, StopIteration) as error:
        raise InputError(
            f"no readable GGUF ({type(error).__name__}: {error})",
            where=path,
            mend="export it again",
        ) from error


def _value(fields: dict[str, Any], key: str, default: Any) -> Any:
    return fields[key].contents() if key in fields else default


def _header_of(fields: dict[str, Any], *, is_byte_level: bool) -> Header:
    architecture = fields["general.architecture"].contents()
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    types: list[int] = fields["tokenizer.ggml.token_type"].contents()
    pairs = list(zip(tokens, types, strict=True))
    read = _read_byte_level if is_byte_level else _read_sentencepiece
    streamed = [_streamed(token, kind, read) for token, kind in pairs]
    content = (gguf.TokenType.BYTE, gguf.TokenType.NORMAL)  # the later wins
    unused = (row for row, kind in enumerate(types) if kind == gguf.TokenType.UNUSED)
    return Header(
        context=int(fields[f"{architecture}.context_length"].contents()),
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
        suppressed=sorted({*_value(fields, SUPPRESSED_KEY, []), *unused}),
        plain_id=next(row for row, token in enumerate(tokens) if token in ("a", "e", "i")),
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
