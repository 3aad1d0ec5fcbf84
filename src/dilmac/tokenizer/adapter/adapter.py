"""Ids of one tokenizer as ids of another: exactly those that the other gives the same text."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, reduce
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from unicodedata import normalize

from dilmac.core import InputError
from dilmac.tokenizer.adapter.align import Alignment, align
from dilmac.tokenizer.adapter.inputs import cut, padded, require_texts
from dilmac.tokenizer.adapter.opening import open_side
from dilmac.tokenizer.adapter.roles import counterparts
from dilmac.tokenizer.adapter.side import Side
from dilmac.tokenizer.adapter.table import find_table
from dilmac.tokenizer.encode import Tokenizer

if TYPE_CHECKING:
    import torch

Convert = Callable[[list[int]], list[int]]
SideName = Literal["source", "target"]
CACHED_TEXTS = 1024  # whose ids an adapter remembers
CACHED_CHARACTERS = 10_000  # a longer text is encoded anew, so that memory is bounded
SETTLE_ROUNDS = 4  # a normalization that still changes its own result then never settles


class LossyTokenizerWarning(UserWarning):
    """A tokenizer does not give back every text that it is given."""


class TokenizerAdapter:
    """Between two tokenizers: a folder, a `Tokenizer`, a SentencePiece `.model`, or a hub name.

    For every text t, `adapt_tokens(source ids of t)` are the target's ids of t; of a tokenizer that
    normalizes, those of the text that it keeps. Control tokens become those of the same role, and
    no content becomes a control token. Where one vocabulary extends the other (`dilmac tokenizer
    extend`), ids are mapped by a table (`by_table`).
    """

    def __init__(self, source: Tokenizer | Path | str, target: Tokenizer | Path | str):
        """Open both.

        Raises:
            InputError: one of them is missing, or no tokenizer.
        """
        first, second = open_side(source), open_side(target)
        self._sides: dict[str, Side] = {"source": first, "target": second}
        forward: Convert | None = None
        back: Convert | None = None
        if table := find_table(base=second, extended=first):
            forward, back = table.expand, table.compress
        elif table := find_table(base=first, extended=second):
            forward, back = table.compress, table.expand
        self.by_table = table is not None
        self._forward, self._back = _Way(first, second, forward), _Way(second, first, back)
        self._cached = lru_cache(CACHED_TEXTS)(self.encode)
        for side in self._sides.values():
            if side.losses:
                message = f"{side.where} loses: {'; '.join(side.losses)}"
                warnings.warn(message, LossyTokenizerWarning, stacklevel=2)

    def adapt_tokens(self, ids: Iterable[int], *, reverse: bool = False) -> list[int]:
        """The target's ids for the source's; with `reverse` the source's for the target's.

        What stands between two control tokens is one text. Its bytes are kept also where `ids` are
        cut inside a character: such bytes become byte tokens.

        Raises:
            InputError: an id is no token, a control token has no counterpart, or a part of a
                character meets a tokenizer without byte tokens.
        """
        return (self._back if reverse else self._forward)(_whole_numbers(ids))

    def encode(self, text: str, side: SideName = "target") -> list[int]:
        """Ids of the text's composed form (NFC); control strings in it are text.

        Raises:
            InputError: a lone surrogate is in it.
        """
        return self._side(side).encode(normalize("NFC", text))

    def normalize(self, text: str) -> str:
        """The text as both tokenizers keep it; NFC, and the same text if both are lossless.

        Raises:
            InputError: their normalizations undo each other.
        """
        text = normalize("NFC", text)
        lossy = [side for side in self._sides.values() if side.losses]
        for _ in range(SETTLE_ROUNDS):
            kept = reduce(lambda kept, side: side.kept(kept), lossy, text)
            if kept == text:
                return text
            text = kept
        raise InputError(f"no form of it that both tokenizers keep: {text[:80]!r}")

    def align(self, text: str) -> Alignment:
        """The fewest tokens of both sides that cover the same bytes of `normalize(text)`."""
        return align(self._sides["source"], self._sides["target"], self.normalize(text))

    def prepare_input_for_model(
        self,
        text: str | Sequence[str],
        max_length: int = 512,
        *,
        model: SideName = "target",
        pad_left: bool = False,
    ) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, [texts, length], for the model of one of the sides.

        A model reads the ids that it was trained with and no others: an untouched Qwen those of
        Qwen's tokenizer, a transplanted one those of its new tokenizer. A text is cut to
        `max_length` tokens at a whole character. Pad on the left to generate from a batch.

        Raises:
            InputError: no text, an empty one, or a `max_length` that holds none of it.
        """
        batch = require_texts(text, max_length)
        side = self._side(model)
        rows = [cut(side, self._ids(text, model), max_length) for text in batch]
        return padded(side, rows, pad_left=pad_left)

    def _ids(self, text: str, side: SideName) -> list[int]:
        return (self.encode if len(text) > CACHED_CHARACTERS else self._cached)(text, side)

    def _side(self, name: SideName) -> Side:
        if name not in self._sides:
            raise InputError(f"no side {name!r}", mend=f"one of {', '.join(self._sides)}")
        return self._sides[name]


class QwenTurkishTokenizerAdapter(TokenizerAdapter):
    """From a Turkish tokenizer (the source) to Qwen's (the target), by the guide's names."""

    def __init__(self, qwen_model_path: Path | str, turkish_tokenizer_path: Path | str):
        super().__init__(source=turkish_tokenizer_path, target=qwen_model_path)


class _Way:
    """From one side's ids to the other's."""

    def __init__(self, start: Side, end: Side, by_table: Convert | None):
        self._start, self._end = start, end
        self._convert = by_table or self._by_text
        self._control = counterparts(start.control, end.control)

    def __call__(self, ids: list[int]) -> list[int]:
        self._start.require_rows(ids)
        adapted: list[int] = []
        for is_control, run in groupby(ids, self._start.control_rows.__contains__):
            convert = self._counterparts if is_control else self._convert
            adapted += convert(list(run))
        return adapted

    def _by_text(self, ids: list[int]) -> list[int]:
        return self._end.encode_bytes(b"".join(self._start.pieces(ids)))

    def _counterparts(self, ids: list[int]) -> list[int]:
        for row in ids:
            if row not in self._control:
                name = next(name for name, own in self._start.control.items() if own == row)
                raise InputError(
                    f"no control token with the role of {name} (id {row} of {self._start.where})",
                    where=self._end.where,
                    mend="leave it out, or use a tokenizer that has it",
                )
        return [self._control[row] for row in ids]


def _whole_numbers(ids: Iterable[int]) -> list[int]:
    """Ids of a list, an array or a tensor."""
    try:
        return list(map(operator.index, ids))
    except TypeError as error:
        raise InputError("ids are a flat row of whole numbers", where="ids") from error
