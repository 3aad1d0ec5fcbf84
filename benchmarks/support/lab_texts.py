"""Texts for the transplant lab: Turkish of every kind, English and code, and fresh Turkish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dilmac.core import read_records

# Bytes of each text. The source reads 40-30-20; what heals it has not seen.
TURKISH, ENGLISH, CODE = 8_000_000, 5_500_000, 3_000_000
FRESH_EVERY = 5  # of the Turkish documents one in so many is kept for healing
NOT_WRITTEN_FOR_READING = ("raw-messy", "-mt")  # defects, and what machines translated


def write_texts(corpus: Path, folder: Path) -> None:
    """Write `turkish`, `fresh`, `english` and `code` as JSONL into `folder`, once.

    Every Turkish file gives the same number of bytes, or all that it has.
    """
    if (folder / "fresh.jsonl").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shards = [
        path
        for path in sorted(corpus.glob("tr-*.jsonl.zst"))
        if not any(word in path.name for word in NOT_WRITTEN_FOR_READING)
    ]
    read = list(_evenly(shards, TURKISH * FRESH_EVERY // (FRESH_EVERY - 1)))
    _write(folder / "turkish.jsonl", [t for n, t in enumerate(read) if n % FRESH_EVERY])
    _write(folder / "english.jsonl", _some(corpus / "en-sample.jsonl.zst", ENGLISH))
    _write(folder / "code.jsonl", _some(corpus / "code-sample.jsonl.zst", CODE))
    _write(folder / "fresh.jsonl", read[::FRESH_EVERY])


def _evenly(shards: list[Path], num_bytes: int) -> Iterator[str]:
    """Small files whole, and what they leave shared by the large ones."""
    sizes = {path: sum(len(text.encode()) for text in _texts(path)) for path in shards}
    for place, path in enumerate(sorted(shards, key=lambda path: sizes[path])):
        share = num_bytes // (len(shards) - place)
        for text in _some(path, share):
            num_bytes -= len(text.encode())
            yield text


def _some(path: Path, num_bytes: int) -> Iterator[str]:
    """Documents up to `num_bytes`, none of them more than a hundredth of it."""
    most = max(4000, num_bytes // 100)
    for text in _texts(path):
        part = text.encode()[:most].decode("utf-8", "ignore")
        num_bytes -= len(part.encode())
        if num_bytes < 0:
            return
        yield part


def _texts(path: Path) -> Iterator[str]:
    for record in read_records([path]):
        if isinstance(text := record.get("text"), str) and text.strip():
            yield text


def _write(path: Path, texts: Iterator[str] | list[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            line = {"id": f"{path.stem}-{number}", "text": text}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
