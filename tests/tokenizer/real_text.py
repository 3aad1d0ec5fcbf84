"""The text of the development corpus, as it stands in its records."""

import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import zstandard

from dilmac.tokenizer import SPACE_MARK


def shards(shared: Path) -> list[Path]:
    """One for each kind of text: domains, code, messy, English, conversations, questions."""
    return sorted((shared / "corpus").glob("*.jsonl.zst"))


def strings_of(path: Path) -> Iterator[str]:
    """Every string in every record of a shard."""
    with zstandard.ZstdDecompressor().stream_reader(path.open("rb")) as stream:
        for record in io.TextIOWrapper(stream, encoding="utf-8"):
            yield from _strings_in(json.loads(record))


def _strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings_in(part)


def real_lines(path: Path, count: int) -> list[str]:
    """Lines that every library can be given: without U+2581, which SentencePiece reads as a space,
    and NUL, where llama.cpp's server ends a string."""
    lines = (line for text in strings_of(path) for line in text.split("\n"))
    usable = (line for line in lines if line and SPACE_MARK not in line and "\0" not in line)
    return list(islice(usable, count))
