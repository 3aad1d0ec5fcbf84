"""Who ends what: the ids that configs, tokenizers and headers name, and the template's own."""

from __future__ import annotations

from typing import Any

from dilmac.export.doctor.folder import ModelFolder
from dilmac.export.doctor.gguf_file import GgufFile
from dilmac.export.doctor.template import TemplateFault, markers_of_turns, turn_end

TOKENIZER_ENDS = ("bos_token", "eos_token", "pad_token")
CONTROL = 3  # a token type of GGUF


def ids_of(value: Any) -> list[Any]:
    """`eos_token_id` and its like as a list: none, one, or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def names_for_template(subject: ModelFolder | GgufFile) -> dict[str, str]:
    """The special tokens that a template may ask for."""
    if isinstance(subject, ModelFolder):
        named = {key: subject.token_named(key) for key in (*TOKENIZER_ENDS, "unk_token")}
    else:
        rows = {key: subject.tokenizer_value(f"{key}_id") for key in ("bos_token", "eos_token")}
        named = {key: subject.token(row) for key, row in rows.items() if isinstance(row, int)}
    return {key: name for key, name in named.items() if name}


def added_tokens(subject: ModelFolder | GgufFile) -> set[str]:
    """Tokens that are read out of a text whole."""
    if isinstance(subject, GgufFile):
        pairs = zip(subject.tokens, subject.types, strict=False)
        return {token for token, kind in pairs if kind == CONTROL}
    added = {token["content"] for token in subject.spec.get("added_tokens", [])}
    if not added and subject.proto is not None:
        added = {piece.piece for piece in subject.proto.pieces if piece.type == CONTROL}
    return added


def markers_in_use(subject: ModelFolder | GgufFile) -> set[str]:
    """Markers that the template writes into every conversation; none where it writes none."""
    try:
        template = subject.template
        return markers_of_turns(template, names_for_template(subject)) if template else set()
    except TemplateFault:
        return set()  # which is a finding of its own


def end_of_turn(subject: ModelFolder | GgufFile) -> str | None:
    """The token that the template ends an answer with."""
    if subject.template is None:
        return None
    names = names_for_template(subject)
    try:
        return turn_end(subject.template, names, added_tokens(subject), subject.vocabulary)
    except TemplateFault:
        return None
