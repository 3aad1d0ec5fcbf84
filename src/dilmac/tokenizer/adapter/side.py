"""A tokenizer as the adapter sees it: text to ids, ids to bytes, control tokens apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import tokenizers

from dilmac.core import InputError
from dilmac.tokenizer.encode import Tokenizer

REPLACEMENT = "\ufffd"  # what is read where a tokenizer had no token for a character


@dataclass(frozen=True)
class Side:
    """One of the adapter's two tokenizers.

    `rows` are the bytes of every row, None for control tokens and unused rows, [rows]. `losses`
    says what of a text is lost in it. At most `dropped_spaces` tokens begin a text with a
    space that decoding takes away. `tokenizer` is there where a `tokenizer.json` is.
    """

    where: Path
    encode: Callable[[str], list[int]]
    rows: Sequence[bytes | None]
    control: Mapping[str, int]
    losses: tuple[str, ...] = ()
    dropped_spaces: int = 0
    tokenizer: Tokenizer | None = None

    @property
    def fast(self) -> tokenizers.Tokenizer | None:
        """The Rust library's, likewise."""
        return self.tokenizer.fast if self.tokenizer else None

    @cached_property
    def control_rows(self) -> frozenset[int]:
        return frozenset(self.control.values())

    @cached_property
    def _row_of_byte(self) -> dict[bytes, int]:
        return {data: row for row, data in enumerate(self.rows) if data and len(data) == 1}

    def require_rows(self, ids: Sequence[int]) -> None:
        """Refuse ids that name no token.

        Raises:
            InputError: an id is outside the vocabulary, or its row is not used.
        """
        for place, row in enumerate(ids):
            if not 0 <= row < len(self.rows):
                fault = f"id {row} at place {place} is outside the vocabulary of {len(self.rows)}"
                raise InputError(fault, where=self.where)
            if self.rows[row] is None and row not in self.control_rows:
                raise InputError(f"id {row} at place {place} is no token", where=self.where)

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """What each token adds to a text; `ids` are content, from the text's beginning."""
        pieces = [self.rows[row] or b"" for row in ids]
        for place in range(min(self.dropped_spaces, len(pieces))):
            pieces[place] = pieces[place].removeprefix(b" ")
            if pieces[place]:
                break
        return pieces

    def kept(self, text: str) -> str:
        """What comes back of a text."""
        return b"".join(self.pieces(self.encode(text))).decode(errors="replace")

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of UTF-8; what is no whole character, as at a cut, becomes byte tokens.

        Raises:
            InputError: there is such a byte and the tokenizer has no byte tokens.
        """
        ids: list[int] = []
        while True:
            try:
                return ids + self.encode(data.decode())
            except UnicodeDecodeError as error:
                ids += self.encode(data[: error.start].decode())
                ids += map(self._byte_token, data[error.start : error.end])
                data = data[error.end :]

    def _byte_token(self, byte: int) -> int:
        row = self._row_of_byte.get(bytes([byte]))
        if row is None:
            raise InputError(
                f"no byte tokens, and the ids hold a part of a character (byte {byte:02X})",
                where=self.where,
                mend="adapt ids that begin and end with whole characters",
            )
        return row
