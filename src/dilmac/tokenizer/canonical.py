"""What a token is, told by its bytes.

A byte-level vocabulary writes `ç` as `Ã§`, SentencePiece writes a space as `▁`: compared by their
strings, all but 18 of 1,036 shared pieces with a Turkish letter are lost. Compared by their bytes
none is.
"""

from __future__ import annotations

from functools import cache

import tokenizers

from dilmac.tokenizer.special import SPACE_MARK


@cache
def byte_of_symbol() -> dict[str, int]:
    """GPT-2's alphabet: the printable symbol that stands for each byte in byte-level files."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = [*map(chr, printable), *(chr(256 + place) for place in range(len(others)))]
    return dict(zip(symbols, [*printable, *others], strict=True))


def is_byte_level(fast: tokenizers.Tokenizer) -> bool:
    """Whether its pieces are written in GPT-2's alphabet."""
    # The decoder's own state: writing out the whole tokenizer takes seconds at 150,000 rows.
    return fast.decoder is not None and b"ByteLevel" in fast.decoder.__getstate__()


def token_bytes(fast: tokenizers.Tokenizer) -> list[bytes | None]:
    """UTF-8 bytes of every row, [rows]; None for added tokens (controls) and for unused rows."""
    names = fast.get_vocab(with_added_tokens=True)
    rows: list[bytes | None] = [None] * (max(names.values()) + 1)
    added = {token.content for token in fast.get_added_tokens_decoder().values()}
    read = _read_byte_level if is_byte_level(fast) else _read_sentencepiece
    for name, row in names.items():
        rows[row] = None if name in added else read(name)
    return rows


def _read_byte_level(name: str) -> bytes:
    table = byte_of_symbol()
    return bytes(table[symbol] for symbol in name)


def _read_sentencepiece(name: str) -> bytes:
    if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return bytes([int(name[3:5], 16)])
    return name.replace(SPACE_MARK, " ").encode()


def readable(data: bytes) -> str:
    """A token's bytes as a person reads them: text, or `⟨C4 9F⟩` for what is no whole character."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"⟨{data.hex(' ').upper()}⟩"
