"""A tokenizer folder in use: content to ids and back, one text or millions.

Text is content: a control string in it (`<|im_end|>`) is encoded as the characters it is made of.
Control tokens are asked for by name, with `control_id`. Every added token is one, also those that
`tokenizer.json` does not call special (Qwen3's `<think>`), but for the user-defined pieces of a
SentencePiece vocabulary, which are there to be read in any text.
"""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from dilmac.core import InputError, num_cpus
from dilmac.tokenizer.canonical import readable, token_bytes
from dilmac.tokenizer.special import SPACE_MARK, document_start

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
# A thread encodes so much at a time. gigatoken is quick with words that it has met in the same
# batch: 17 MB/s and core with 300,000 characters, 35 from a million on.
BATCH_CHARACTERS = 4_000_000
SPACES_AS_MARKS = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
_LINE = re.compile(r"[^\n]*\n+|[^\n]+")  # with its end, and with the empty lines after it

Ids = NDArray[np.uint32]


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
        self._fast.no_truncation()  # a file of others' may say so; text would be lost silently
        self._fast.no_padding()
        self._fast.encode_special_tokens = True
        self._is_sentencepiece = self._fast.token_to_id("<0xE2>") is not None
        if not self._is_sentencepiece:
            _make_special(self._fast)
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
        found = document_start(self._control)
        if found is None:
            raise InputError("the tokenizer has no end-of-text token", where=self.folder)
        return found

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
        """Ids of a text; decoding them gives the text back, every character of it (see
        `normalized`).

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

    def normalized(self, text: str) -> str:
        """The text that comes back of a text's ids: its NFC where the tokenizer composes
        characters, as Qwen's does, and else the text itself."""
        return unicodedata.normalize("NFC", text) if self._composes else text

    @cached_property
    def _composes(self) -> bool:
        return isinstance(self._fast.normalizer, tokenizers.normalizers.NFC)

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

    @property
    def fast(self) -> tokenizers.Tokenizer:
        """The Rust tokenizer beneath, for reading."""
        return self._fast

    @cached_property
    def _rows(self) -> list[bytes | None]:
        return token_bytes(self._fast)

    def piece(self, row: int) -> str:
        """A token as a person reads it: its text, or `⟨E2⟩` for a byte of a character."""
        if not 0 <= row < len(self):
            raise InputError(f"id {row} is outside the vocabulary of {len(self)}")
        data = self._rows[row]
        return str(self._fast.id_to_token(row)) if data is None else readable(data)

    def encode_stream(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Ids of many texts, in order, as `encode` gives them; see `encode_arrays`."""
        return (ids.tolist() for ids in self.encode_arrays(texts))

    def encode_arrays(self, texts: Iterable[str]) -> Iterator[Ids]:
        """Ids of many texts, each `[tokens]`, in order, on all cores.

        gigatoken does the work (benchmarks/RESULTS.md has its speed beside its peers'), on arrays
        because lists of numbers would cost as much again. Memory holds two batches a core.

        Raises:
            InputError: a lone surrogate is in a text.
        """
        waiting: deque[Future[list[Ids]]] = deque()
        with ThreadPoolExecutor(num_cpus()) as threads:
            for batch in _batches(texts):
                waiting.append(threads.submit(self._encode_batch, batch))
                if len(waiting) > num_cpus():
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    def _encode_batch(self, texts: list[str]) -> list[Ids]:
        try:
            rows = self._encode_in_bulk(texts)
        except (TypeError, UnicodeEncodeError):  # how the Rust libraries meet a lone surrogate
            require_characters("".join(texts))
            raise
        if self._is_sentencepiece:
            for place, text in enumerate(texts):
                if SPACE_MARK in text:
                    rows[place] = np.array(self.encode(text), np.uint32)
        return rows

    def _encode_in_bulk(self, texts: list[str]) -> list[Ids]:
        if self._bulk is None:
            encoded = self._fast.encode_batch_fast(texts, add_special_tokens=False)
            return [np.array(row.ids, np.uint32) for row in encoded]
        parts = [_LINE.findall(text) if self._lines_are_apart else [text] for text in texts]
        ragged = self._bulk.encode_batch(list(chain.from_iterable(parts)), parallel=False).layout
        ids, part_ends = ragged.content.data, ragged.offsets.data
        ends = part_ends[list(accumulate(map(len, parts), initial=0))].tolist()
        return [ids[start:end] for start, end in pairwise(ends)]

    @cached_property
    def _lines_are_apart(self) -> bool:
        """No piece goes on after a line's end, so that the ids of a text are those of its lines.

        Where pieces cross words, gigatoken reads lines quicker than documents: 8.3 against 5.7 MB/s
        and core. Elsewhere there is no difference.
        """
        if not self._is_sentencepiece:
            return False
        settings = json.loads(self._fast.to_str())
        pieces = self._fast.get_vocab(with_added_tokens=True)
        return (
            settings["normalizer"] == SPACES_AS_MARKS  # and nothing put before or stripped
            and settings["pre_tokenizer"] is None
            and all(len(_LINE.findall(piece)) == 1 for piece in pieces)
        )

    @cached_property
    def _bulk(self) -> Any | None:
        """gigatoken without our control tokens, which it would read in any text."""
        import gigatoken

        settings = json.loads(self._fast.to_str())
        settings["added_tokens"] = [
            token for token in settings["added_tokens"] if not token["special"]
        ]
        try:
            return gigatoken.Tokenizer.from_json(json.dumps(settings))
        except RuntimeError:  # a kind of tokenizer that it does not have: unigram
            return None


def _make_special(fast: tokenizers.Tokenizer) -> None:
    """Call every added token special: the others are read in any text, as Qwen3's `<think>` is."""
    added = fast.get_added_tokens_decoder().values()
    fast.add_special_tokens(
        [
            tokenizers.AddedToken(token.content, special=True, normalized=token.normalized)
            for token in added
            if not token.special
        ]
    )


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
