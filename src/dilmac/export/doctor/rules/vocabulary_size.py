"""Rows: of the tokenizer, of the config, of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dilmac.export.doctor.finding import EVERYWHERE, GGML, Finding, Fix
from dilmac.export.doctor.folder import CONFIG, ModelFolder
from dilmac.export.doctor.gguf_file import KEY, GgufFile
from dilmac.export.doctor.registry import doctor_rule
from dilmac.tokenizer import PieceType

EMBEDDING, HEAD = "token_embd.weight", "output.weight"
LOWEST = -1000.0  # score of a row that no merge makes


@doctor_rule("vocabulary-size", of="folder")
def of_folder(folder: ModelFolder) -> Iterator[Finding]:
    """vocab_size against tokenizer and tables."""
    stated = folder.text_config.get("vocab_size")
    if not isinstance(stated, int):
        return
    tables = [table for table in (folder.embedding, folder.head) if table]
    rows = {table.shape[0] for table in tables}
    fits = len(rows) == 1 and min(rows) >= folder.num_rows
    fix: Fix | None = _sized(min(rows)) if fits else None
    mend = (
        f"set it to {min(rows):,}, the rows of the tables"
        if fits
        else "resize the tables (resize_token_embeddings), and train the new rows"
    )
    where = f"{CONFIG}: vocab_size"
    if stated < folder.num_rows:
        found = f"is {stated:,}, the tokenizer needs {folder.num_rows:,} rows"
        yield Finding("error", where, found, EVERYWHERE, mend, fix)
    for table in tables:
        if table.shape[0] != stated:
            found = f"is {stated:,}, {table.name} has {table.shape[0]:,} rows"
            yield Finding("error", where, found, EVERYWHERE, mend, fix)


def _sized(num_rows: int) -> Fix:
    def change(content: dict[str, Any]) -> None:
        inner = content.get("text_config")
        part = inner if isinstance(inner, dict) and "vocab_size" in inner else content
        part["vocab_size"] = num_rows

    return lambda copy: copy.change_json(CONFIG, change)


@doctor_rule("vocabulary-size", of="gguf")
def of_gguf(file: GgufFile) -> Iterator[Finding]:
    """The token list against tables, types, scores and the stated size."""
    num_tokens = len(file.tokens)
    if not num_tokens:
        return
    for name in (EMBEDDING, HEAD):
        if name not in file.tensors:
            continue
        num_rows = int(file.tensors[name].shape[1])
        if num_rows != num_tokens:
            is_short = num_tokens < num_rows
            yield Finding(
                "error",
                f"{KEY}tokens",
                f"are {num_tokens:,}, {name} has {num_rows:,} rows",
                GGML,
                "name the rows that are left as unused" if is_short else "export it again",
                _padded(num_rows) if is_short else None,
            )
    for key in ("token_type", "scores"):
        stated = file.tokenizer_value(key)
        if stated is not None and len(stated) != num_tokens:
            found = f"are {len(stated):,}, there are {num_tokens:,} tokens"
            yield Finding("error", f"{KEY}{key}", found, GGML, "export it again")
    key = f"{file.architecture}.vocab_size"
    size = file.values.get(key)
    if size is not None and size != num_tokens:
        rows = {int(file.tensors[n].shape[1]) for n in (EMBEDDING, HEAD) if n in file.tensors}
        right = max(rows, default=num_tokens)
        if size != right:
            yield Finding(
                "error",
                key,
                f"is {size:,}, there are {num_tokens:,} tokens",
                GGML,
                f"set it to {right:,}",
                lambda copy: copy.set(key, right),
            )


def _padded(num_rows: int) -> Fix:
    """Lists as long as the tables; what is added is never read in a text, nor sampled."""
    unused = {"token_type": int(PieceType.UNUSED), "scores": LOWEST}

    def fix(copy: Any) -> None:
        tokens = list(copy.get(f"{KEY}tokens"))
        tokens += [f"[unused{row}]" for row in range(len(tokens), num_rows)]
        copy.set(f"{KEY}tokens", tokens)
        for key, value in unused.items():
            if (stated := copy.get(f"{KEY}{key}")) is not None:
                filled = [value] * (num_rows - len(stated))
                copy.set(f"{KEY}{key}", [*stated, *filled])

    return fix
