"""Markers of turns that are typed as ordinary text.

With ChatML's markers as ordinary pieces a prompt had 19 ids instead of 10 in llama.cpp: the roles
were lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dilmac.export.doctor.ends import TOKENIZER_ENDS, markers_in_use
from dilmac.export.doctor.finding import EVERYWHERE, GGML, PYTHON, Finding, some
from dilmac.export.doctor.folder import (
    TOKENIZER_CONFIG,
    TOKENIZER_JSON,
    TOKENIZER_MODEL,
    ModelFolder,
)
from dilmac.export.doctor.gguf_file import KEY, GgufFile
from dilmac.export.doctor.registry import doctor_rule
from dilmac.tokenizer import PieceType

CONTROL = int(PieceType.CONTROL)
ORDINARY = (int(PieceType.NORMAL), int(PieceType.USER_DEFINED))
# Markers by their names, of any vocabulary that has them; others count where a template uses them.
MARKERS = frozenset(
    [
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<|pad|>",
        "<|eot_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<start_of_turn>",
        "<end_of_turn>",
    ]
)


def markers_of_folder(folder: ModelFolder) -> set[str]:
    named = {folder.token_named(key) for key in TOKENIZER_ENDS}
    wanted = MARKERS | markers_in_use(folder) | {name for name in named if name}
    return set(wanted & folder.vocabulary.keys())


@doctor_rule("control-tokens", of="folder")
def in_json(folder: ModelFolder) -> Iterator[Finding]:
    """added_tokens of tokenizer.json."""
    if not folder.spec:
        return
    special = {t["content"]: t.get("special", False) for t in folder.spec.get("added_tokens", [])}
    wanted = sorted(markers_of_folder(folder))
    where = f"{TOKENIZER_JSON}: added_tokens"
    if plain := [name for name in wanted if special.get(name) is False]:
        yield Finding(
            "error",
            where,
            f"{some(plain)}: not special, so that it stays in the text of an answer, and content "
            "that spells it becomes a control token",
            (*PYTHON, "Ollama"),
            "call it special",
            lambda copy: copy.change_json(TOKENIZER_JSON, lambda spec: _call_special(spec, plain)),
        )
    if missing := [name for name in wanted if name not in special]:
        rows = {name: folder.vocabulary[name] for name in missing}
        yield Finding(
            "error",
            where,
            f"{some(missing)}: a row of the vocabulary, but no added token: it is cut into pieces",
            EVERYWHERE,
            "add it as a special token",
            lambda copy: copy.change_json(TOKENIZER_JSON, lambda spec: _add(spec, rows)),
        )


@doctor_rule("control-tokens", of="folder")
def in_config(folder: ModelFolder) -> Iterator[Finding]:
    """added_tokens_decoder of tokenizer_config.json, which older transformers believe."""
    listed = folder.tokenizer_config.get("added_tokens_decoder")
    if not isinstance(listed, dict):
        return
    wanted = markers_of_folder(folder)
    plain = [
        row
        for row, token in listed.items()
        if isinstance(token, dict) and token.get("content") in wanted and not token.get("special")
    ]
    if plain:
        names = [str(listed[row]["content"]) for row in plain]

        def change(settings: dict[str, Any]) -> None:
            for row in plain:
                settings["added_tokens_decoder"][row]["special"] = True

        yield Finding(
            "error",
            f"{TOKENIZER_CONFIG}: added_tokens_decoder",
            f"{some(names)}: not special, so that it stays in the text of an answer",
            PYTHON,
            "call it special",
            lambda copy: copy.change_json(TOKENIZER_CONFIG, change),
        )


@doctor_rule("control-tokens", of="folder")
def in_model(folder: ModelFolder) -> Iterator[Finding]:
    """Types of a tokenizer.model's pieces."""
    if folder.proto is None:
        return
    wanted = markers_of_folder(folder)
    plain = [p.piece for p in folder.proto.pieces if p.piece in wanted and p.type in ORDINARY]
    if plain:
        yield Finding(
            "error",
            f"{TOKENIZER_MODEL}: pieces",
            f"{some(plain)}: typed as ordinary text: llama.cpp's converter and Ollama keep it so",
            GGML,
            "type it as a control token",
            lambda copy: copy.write(TOKENIZER_MODEL, _retyped(copy.path, set(plain))),
        )


@doctor_rule("control-tokens", of="gguf")
def in_gguf(file: GgufFile) -> Iterator[Finding]:
    """tokenizer.ggml.token_type."""
    if not file.tokens:
        return
    if not file.types:
        found = "is missing: every marker is ordinary text"
        yield Finding("error", f"{KEY}token_type", found, GGML, "export it again")
        return
    wanted = (MARKERS | markers_in_use(file)) & file.vocabulary.keys()
    ends = (file.tokenizer_value(f"{key}_token_id") for key in ("bos", "eos", "eot"))
    wanted |= {name for row in ends if isinstance(row, int) and (name := file.token(row))}
    rows = sorted(file.vocabulary[name] for name in wanted)
    plain = [row for row in rows if row < len(file.types) and file.types[row] in ORDINARY]
    if plain:
        names = [file.tokens[row] for row in plain]
        yield Finding(
            "error",
            f"{KEY}token_type",
            f"{some(names)}: typed as ordinary text, so that a prompt's roles are cut into pieces",
            GGML,
            "type it as a control token",
            lambda copy: copy.set(f"{KEY}token_type", _with_controls(copy, plain)),
        )


def _with_controls(copy: Any, rows: list[int]) -> list[int]:
    types = list(copy.get(f"{KEY}token_type"))
    for row in rows:
        types[row] = CONTROL
    return types


def _retyped(folder: Path, names: set[str]) -> bytes:
    proto: Any = ModelFolder(folder).proto  # as other mends may have left it
    for piece in proto.pieces:
        if piece.piece in names:
            piece.type = CONTROL
    return bytes(proto.SerializeToString())


def _call_special(spec: dict[str, Any], names: list[str]) -> None:
    for token in spec["added_tokens"]:
        if token["content"] in names:
            token["special"] = True


def _add(spec: dict[str, Any], rows: dict[str, int]) -> None:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    spec["added_tokens"] += [
        {"id": row, "content": name, **flags, "special": True} for name, row in rows.items()
    ]
    spec["added_tokens"].sort(key=lambda token: token["id"])
