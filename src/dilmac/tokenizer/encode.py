"""A tokenizer folder in use: content to ids and back, one text or millions.

Text is content: a control string in it (`<|im_end|>`) is encoded as the characters it is made of.
Control tokens are asked for by name, with `control_id`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import tokenizers

from dilmac.core import InputError
from dilmac.tokenizer.special import END_OF_TEXT, SPACE_MARK

MODEL_FILE = "tokenizer.model"
TOKENIZER_FILES = (
    MODEL_FILE,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
BATCH_TEXTS = 2048


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files, unchanged, into another folder (a model's)."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def require_characters(text: str) -> None:
    """Refuse what is no text: half of a surrogate pair, as a wrongly decoded terminal gives it.

    Raises:
        InputError: a lone surrogate is in it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"a lone surrogate at character {error.start}: not valid Unicode",
            mend="give the text in UTF-8",
        ) from error


class Tokenizer:
    """Text ↔ ids by the `tokenizer.json` of a folder.

    One exception that the format itself demands is mended here: SentencePiece and everything made
    from it decodes U+2581 (▁) as a space, so that character is given its three byte tokens.
    """

    def __init__(self, folder: Path):
        """Load a tokenizer folder.

        Raises:
            InputError: there is no readable `tokenizer.json` in it.
        """
        self.folder = folder
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise InputError(
                "no tokenizer.json in it",
                where=folder,
                mend="give a tokenizer folder (`dilmac tokenizer train`) or a model folder",
            )
        try:
            self._fast = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception
            raise InputError(f"no readable tokenizer ({error})", where=path) from error
        self._fast.encode_special_tokens = True
        self._is_sentencepiece = self._fast.token_to_id("<0xE2>") is not None
        self._num_rows = max(self._fast.get_vocab(with_added_tokens=True).values()) + 1
        added = self._fast.get_added_tokens_decoder()
        self._control = {token.content: row for row, token in added.items() if token.special}

    def __len__(self) -> int:
        """Number of rows: every id is below it."""
        return self._num_rows

    @property
    def control_tokens(self) -> dict[str, int]:
        """Control tokens and their ids."""
        return dict(self._control)

    def control_id(self, token: str) -> int:
        """Id of a control token.

        Raises:
            InputError: the tokenizer has no such token.
        """
        if token not in self._control:
            raise InputError(
                f"the tokenizer has no control token {token}",
                where=self.folder,
                mend="use a tokenizer with ChatML markers, such as those dilmac trains",
            )
        return self._control[token]

    @property
    def document_start_id(self) -> int:
        """Id that stands before a document: what ends the one before it, or a bos.

        Raises:
            InputError: the tokenizer has neither.
        """
        for token in (END_OF_TEXT, "<|begin_of_text|>", "<bos>", "<s>", "</s>"):
            if token in self._control:
                return self._control[token]
        raise InputError("the tokenizer has no end-of-text token", where=self.folder)

    def require_fit(self, num_rows: int) -> None:
        """Refuse to serve a model whose embedding has only `num_rows` rows.

        Raises:
            InputError: the vocabulary is larger than the model's.
        """
        if len(self) > num_rows:
            raise InputError(
                f"the model has {num_rows} rows, the tokenizer {len(self)}",
                where=self.folder,
                mend="use the tokenizer that the model was trained with",
            )

    def encode(self, text: str) -> list[int]:
        """Ids of a text; decoding them gives the text back, every character of it.

        Raises:
            InputError: a lone surrogate is in it, which is no character.
        """
        if SPACE_MARK not in text or not self._is_sentencepiece:
            return self._encode(text)
        names = [f"<0x{byte:02X}>" for byte in SPACE_MARK.encode()]
        mark = [row for name in names if (row := self._fast.token_to_id(name)) is not None]
        ids: list[int] = []
        for place, part in enumerate(text.split(SPACE_MARK)):
            ids += mark if place else []
            ids += self._encode(part)
        return ids

    def _encode(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._fast.encode(text, add_special_tokens=False).ids
        except TypeError:  # how the Rust library meets a lone surrogate
            require_characters(text)
            raise
        return ids

    def decode(self, ids: Iterable[int], *, keep_control: bool = False) -> str:
        """Text of ids; control tokens are left out unless `keep_control`.

        Raises:
            InputError: an id is outside the vocabulary.
        """
        rows = list(ids)
        if rows and not (min(rows) >= 0 and max(rows) < len(self)):
            outside = next(row for row in rows if not 0 <= row < len(self))
            raise InputError(f"id {outside} is outside the vocabulary of {len(self)}")
        text: str = self._fast.decode(rows, skip_special_tokens=not keep_control)
        return text

    def piece(self, row: int) -> str:
        """A token as a person reads it: its text, or `⟨E2⟩` for a byte of a character."""
        name = str(self._fast.id_to_token(row))
        if name in self._control:
            return name
        text: str = self._fast.decode([row])
        if "\ufffd" in text or not text:
            return f"⟨{name.removeprefix('<0x').removesuffix('>')}⟩"
        return text

    def encode_stream(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Ids of many texts, in order, on all cores; memory holds one batch of texts.

        gigatoken does the work (2.1 to 2.4 times SentencePiece's speed, benchmarks/RESULTS.md);
        texts with a control string or U+2581 in them take the way of `encode`.
        """
        source = iter(texts)
        while batch := list(islice(source, BATCH_TEXTS)):
            yield from self._encode_batch(batch)

    def _encode_batch(self, texts: list[str]) -> list[list[int]]:
        if self._bulk is None:
            return [self.encode(text) for text in texts]
        plain = [not self._unusual.search(text) for text in texts]
        common = [text for text, is_plain in zip(texts, plain, strict=True) if is_plain]
        rows = iter(self._bulk.encode_batch_list(common) if common else [])
        return [
            next(rows) if is_plain else self.encode(text)
            for text, is_plain in zip(texts, plain, strict=True)
        ]

    @cached_property
    def _unusual(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, [SPACE_MARK, *self._control])))

    @cached_property
    def _bulk(self) -> Any | None:
        if not self._is_sentencepiece or not (self.folder / MODEL_FILE).is_file():
            return None
        import gigatoken

        return gigatoken.Tokenizer.from_sentencepiece(self.folder / MODEL_FILE)
