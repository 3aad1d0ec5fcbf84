"""A space that one runtime puts before every text and another does not.

llama.cpp's converter mis-tokenized 1,495 of 1,500 strings of a Llama folder whose SentencePiece
model adds no space, until `tokenizer_config.json` said `"add_prefix_space": false` (then 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dilmac.export.doctor.finding import GGML, PYTHON, Finding
from dilmac.export.doctor.folder import TOKENIZER_CONFIG, TOKENIZER_JSON, ModelFolder
from dilmac.export.doctor.gguf_file import KEY, GgufFile
from dilmac.export.doctor.registry import doctor_rule
from dilmac.tokenizer import SPACE_MARK

CONVERTER_DEFAULT = True  # of llama.cpp, in its converter and in its reader of GGUF


@doctor_rule("prefix-space", of="folder")
def stated_otherwise(folder: ModelFolder) -> Iterator[Finding]:
    """tokenizer_config.json against the vocabulary's own rule."""
    wanted = adds_space(folder)
    if wanted is None:
        return
    stated = folder.tokenizer_config.get("add_prefix_space")
    if (CONVERTER_DEFAULT if stated is None else stated) is not wanted:
        yield Finding(
            "error",
            f"{TOKENIZER_CONFIG}: add_prefix_space",
            f"{'is missing' if stated is None else f'is {stated}'}, the vocabulary says {wanted}: "
            "llama.cpp's converter reads nearly every text otherwise",
            GGML,
            f"set it to {str(wanted).lower()}",
            lambda copy: copy.set_json(TOKENIZER_CONFIG, add_prefix_space=wanted),
        )


@doctor_rule("prefix-space", of="folder")
def two_rules(folder: ModelFolder) -> Iterator[Finding]:
    """tokenizer.json against tokenizer.model."""
    if folder.proto is None or folder.is_byte_level or not folder.spec:
        return
    theirs, ours = of_json(folder.spec), of_model(folder.proto)
    if theirs != ours:
        yield Finding(
            "error",
            f"{TOKENIZER_JSON}: normalizer, pre_tokenizer",
            f"{'puts a' if theirs else 'puts no'} space before a text, tokenizer.model "
            f"{'does' if ours else 'does not'}",
            (*PYTHON, *GGML),
            "keep the one that the model was trained with, and make the other from it",
        )


@doctor_rule("prefix-space", of="gguf")
def in_gguf(file: GgufFile) -> Iterator[Finding]:
    """tokenizer.ggml.add_space_prefix against the rule of the tokenizer it was made of."""
    wanted = adds_space(file.source) if file.source else None
    if file.model != "llama" or wanted is None:
        return
    stated = file.tokenizer_value("add_space_prefix")
    if (CONVERTER_DEFAULT if stated is None else stated) is not wanted:
        yield Finding(
            "error",
            f"{KEY}add_space_prefix",
            f"{'is missing' if stated is None else f'is {stated}'}, the vocabulary says {wanted}",
            GGML,
            f"set it to {str(wanted).lower()}",
            lambda copy: copy.set(f"{KEY}add_space_prefix", wanted),
        )


def adds_space(folder: ModelFolder) -> bool | None:
    """Whether a SentencePiece vocabulary puts a space before a text; None of other kinds."""
    if folder.is_byte_level:
        return None
    if folder.proto is not None:
        return of_model(folder.proto)
    if folder.spec and folder.fast and folder.fast.token_to_id("<0x41>") is not None:
        return of_json(folder.spec)
    return None


def of_model(proto: Any) -> bool:
    """The rule of a tokenizer.model."""
    return bool(proto.normalizer_spec.add_dummy_prefix)


def of_json(spec: dict[str, Any]) -> bool:
    """The rule of a tokenizer.json in SentencePiece's manner."""
    normalizer, cut = spec.get("normalizer") or {}, spec.get("pre_tokenizer") or {}
    steps = [*normalizer.get("normalizers", [normalizer]), *cut.get("pretokenizers", [cut])]
    return any(
        (step.get("type") == "Prepend" and step.get("prepend") == SPACE_MARK)
        or (step.get("type") == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )
