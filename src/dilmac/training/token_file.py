"""A corpus as ids on disk: shards of at most 512 MB, read through memory maps.

    train-00000.bin, train-00001.bin, …   ids in a row, each document ended by the end-of-text id
    documents.bin                         where each document ends, int64 [num_documents]
    index.json                            counts, figures by source, SHA-256s; written last

A folder with an index is whole. A document may go over from one shard into the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from dilmac.core import InputError, sha256_of, write_json

INDEX = "index.json"
DOCUMENT_ENDS = "documents.bin"
SHARD_BYTES = 512 << 20
BUFFER_TOKENS = 1 << 20  # gathered before they are written
REMAKE = "delete the folder; the same command makes it again"


class ShardRecord(BaseModel):
    """One file of ids."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    num_tokens: int
    sha256: str


class SourceFigures(BaseModel):
    """What a source gives to the mixture, copies and end-of-text tokens included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_documents: int = 0
    num_tokens: int = 0
    num_text_bytes: int = 0  # UTF-8
    weight: float = 1.0


class TokenIndex(BaseModel):
    """The content of `index.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    dtype: Literal["uint16", "uint32"]  # little-endian
    vocab_size: int
    end_id: int
    num_tokens: int
    num_documents: int
    num_text_bytes: int
    shards: tuple[ShardRecord, ...]
    document_ends_sha256: str
    sources: dict[str, SourceFigures]
    made_from: dict[str, Any]  # what another folder must have in common to be the same


@dataclass(frozen=True)
class EncodedDocument:
    """Ids of a document without its end, on the way to disk."""

    ids: NDArray[np.uint32]
    source: str
    num_text_bytes: int


@dataclass(frozen=True)
class TokenFile:
    """Ids of a split in a row, each document ended by the end-of-text token."""

    folder: Path
    index: TokenIndex

    @property
    def num_tokens(self) -> int:
        return self.index.num_tokens

    @property
    def num_documents(self) -> int:
        return self.index.num_documents

    @property
    def num_text_bytes(self) -> int:
        """UTF-8 bytes of the texts, each copy of a repeated document counted."""
        return self.index.num_text_bytes

    @property
    def dtype(self) -> str:
        return self.index.dtype

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 that names the ids and their borders, wherever the folder stands."""
        parts = [self.index.dtype, str(self.index.end_id), self.index.document_ends_sha256]
        parts += [shard.sha256 for shard in self.index.shards]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @cached_property
    def _maps(self) -> list[NDArray[Any]]:
        kind = np.dtype(self.index.dtype).newbyteorder("<")
        return [np.memmap(self.folder / s.name, dtype=kind, mode="r") for s in self.index.shards]

    @cached_property
    def _shard_starts(self) -> NDArray[np.int64]:
        """Place of each shard's first token, and of the end `[shards + 1]`."""
        counts = [0, *(shard.num_tokens for shard in self.index.shards)]
        return np.cumsum(counts, dtype=np.int64)

    def read(self, start: int, stop: int) -> NDArray[np.int64]:
        """The ids at places `start` to `stop`, `stop` not included: `[stop - start]`.

        Raises:
            InputError: an id is outside the vocabulary.
        """
        first = int(np.searchsorted(self._shard_starts, start, side="right")) - 1
        ids = np.empty(stop - start, dtype=np.int64)
        filled = 0
        for shard in range(first, len(self._maps)):
            if filled == len(ids):
                break
            offset = start + filled - int(self._shard_starts[shard])
            part = self._maps[shard][offset : offset + len(ids) - filled]
            ids[filled : filled + len(part)] = part
            filled += len(part)
        if filled and int(ids.max()) >= self.index.vocab_size:
            raise InputError(
                f"tokens out of range: id {int(ids.max())} near token {start:,}, "
                f"and the vocabulary has {self.index.vocab_size:,}",
                where=self.folder,
                mend=REMAKE,
            )
        return ids

    def document_ends(self) -> NDArray[np.int64]:
        """Where each document ends, its end-of-text token included `[num_documents]`."""
        if not self.num_documents:
            return np.empty(0, dtype=np.int64)
        return np.memmap(self.folder / DOCUMENT_ENDS, dtype="<i8", mode="r")

    def require_fit(self, num_rows: int) -> None:
        """Refuse to train a model whose embedding has only `num_rows` rows.

        Raises:
            InputError: the vocabulary of the tokens is larger.
        """
        if self.index.vocab_size > num_rows:
            raise InputError(
                f"tokens out of range: made with {self.index.vocab_size:,} rows, "
                f"the model has {num_rows:,}",
                where=self.folder,
                mend="tokenize with the tokenizer of this model",
            )


def open_tokens(folder: Path) -> TokenFile:
    """The tokens in a folder, checked against its index: sizes and SHA-256s.

    Raises:
        InputError: no index, or one that does not fit the files.
    """
    path = folder / INDEX
    if not path.is_file():
        raise InputError("no tokens in it", where=folder, mend="run `dilmac pretrain` again")
    try:
        index = TokenIndex.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"no readable index of tokens ({error.error_count()} faults)", where=path, mend=REMAKE
        ) from error
    smallest = dtype_for(index.vocab_size)
    if index.dtype != smallest or index.end_id >= index.vocab_size:
        raise InputError(
            f"{index.dtype} with end {index.end_id} does not fit {index.vocab_size:,} rows",
            where=path,
            mend=REMAKE,
        )
    if sum(shard.num_tokens for shard in index.shards) != index.num_tokens:
        raise InputError("its shards do not add up to num_tokens", where=path, mend=REMAKE)
    width = np.dtype(index.dtype).itemsize
    for shard in index.shards:
        _require_file(folder / shard.name, shard.num_tokens * width, shard.sha256)
    _require_file(folder / DOCUMENT_ENDS, index.num_documents * 8, index.document_ends_sha256)
    return TokenFile(folder, index)


def dtype_for(vocab_size: int) -> Literal["uint16", "uint32"]:
    """uint16 holds vocabularies up to 65,536 rows, uint32 the larger ones."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def _require_file(path: Path, num_bytes: int, sha256: str) -> None:
    if not path.is_file():
        raise InputError("is missing", where=path, mend=REMAKE)
    if path.stat().st_size != num_bytes:
        raise InputError(
            f"has {path.stat().st_size:,} bytes, its index says {num_bytes:,}",
            where=path,
            mend=REMAKE,
        )
    if sha256_of(path) != sha256:
        raise InputError("its content is not what its index says", where=path, mend=REMAKE)


def write_tokens(
    folder: Path,
    documents: Iterable[EncodedDocument],
    *,
    vocab_size: int,
    end_id: int,
    weights: dict[str, float] | None = None,
    made_from: dict[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> TokenFile:
    """Write documents as they come; what an interrupted run left in `folder` is replaced.

    Raises:
        InputError: an id is outside the vocabulary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("train-*.bin"):
        left.unlink()
    writer = _Writer(folder, vocab_size, end_id, shard_bytes)
    with writer:
        for document in documents:
            writer.add(document)
        writer.flush()
    sources = {
        name: SourceFigures(
            num_documents=counts[0],
            num_tokens=counts[1],
            num_text_bytes=counts[2],
            weight=(weights or {}).get(name, 1.0),
        )
        for name, counts in sorted(writer.sources.items())
    }
    index = TokenIndex(
        dtype=dtype_for(vocab_size),
        vocab_size=vocab_size,
        end_id=end_id,
        num_tokens=writer.num_tokens,
        num_documents=writer.num_documents,
        num_text_bytes=sum(figures.num_text_bytes for figures in sources.values()),
        shards=tuple(writer.records()),
        document_ends_sha256=writer.ends_sha.hexdigest(),
        sources=sources,
        made_from=made_from or {},
    )
    write_json(folder / INDEX, index.model_dump(mode="json"))
    return TokenFile(folder, index)


class _Writer:
    """Gathers documents and writes them in large pieces, hashing as it goes."""

    def __init__(self, folder: Path, vocab_size: int, end_id: int, shard_bytes: int):
        self.folder, self.vocab_size = folder, vocab_size
        self.kind = np.dtype(dtype_for(vocab_size)).newbyteorder("<")
        self.shard_bytes = max(self.kind.itemsize, shard_bytes // 8 * 8)
        self.end = np.array([end_id], dtype=np.uint32)
        self.num_tokens = self.num_documents = 0
        self.sources: dict[str, list[int]] = {}  # documents, tokens, text bytes
        self.ends_sha = hashlib.sha256()
        self._ids: list[NDArray[np.uint32]] = []
        self._ends: list[int] = []
        self._num_waiting = 0
        self._shards: list[tuple[str, int, Any]] = []  # name, bytes, SHA-256
        self._file: BinaryIO | None = None

    def __enter__(self) -> _Writer:
        self._ends_file = (self.folder / DOCUMENT_ENDS).open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._ends_file.close()
        if self._file:
            self._file.close()

    def add(self, document: EncodedDocument) -> None:
        """Take a document in; its end-of-text token is added."""
        self._ids += (document.ids, self.end)
        length = len(document.ids) + 1
        self.num_tokens += length
        self.num_documents += 1
        self._ends.append(self.num_tokens)
        counts = self.sources.setdefault(document.source, [0, 0, 0])
        counts[0] += 1
        counts[1] += length
        counts[2] += document.num_text_bytes
        self._num_waiting += length
        if self._num_waiting >= BUFFER_TOKENS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._ids:
            return
        ids = np.concatenate(self._ids)
        if int(ids.max()) >= self.vocab_size:
            raise InputError(
                f"tokens out of range: id {int(ids.max())} in a vocabulary of {self.vocab_size:,}",
                where=self.folder,
                mend="check that tokenizer.json belongs to the model",
            )
        ends = np.array(self._ends, dtype="<i8").tobytes()
        self._ends_file.write(ends)
        self.ends_sha.update(ends)
        self._write(ids.astype(self.kind).tobytes())
        self._ids, self._ends, self._num_waiting = [], [], 0

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._file is None or self._shards[-1][1] >= self.shard_bytes:
                self._begin_shard()
            name, written, sha = self._shards[-1]
            part = view[: self.shard_bytes - written]
            if self._file:
                self._file.write(part)
            sha.update(part)
            self._shards[-1] = (name, written + len(part), sha)
            view = view[len(part) :]

    def _begin_shard(self) -> None:
        if self._file:
            self._file.close()
        name = f"train-{len(self._shards):05d}.bin"
        self._file = (self.folder / name).open("wb")
        self._shards.append((name, 0, hashlib.sha256()))

    def records(self) -> Iterator[ShardRecord]:
        """The shards written."""
        for name, num_bytes, sha in self._shards:
            yield ShardRecord(
                name=name, num_tokens=num_bytes // self.kind.itemsize, sha256=sha.hexdigest()
            )
