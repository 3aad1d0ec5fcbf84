"""What changes a text before it is cut, and llama.cpp leaves out.

llama.cpp's SentencePiece path has neither normalizer nor collapse of spaces (with SentencePiece's
defaults 4 of 9 strings differed); its byte-level path has none at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dilmac.export.doctor.finding import GGML, Finding
from dilmac.export.doctor.folder import TOKENIZER_JSON, TOKENIZER_MODEL, ModelFolder
from dilmac.export.doctor.gguf_file import KEY, GgufFile
from dilmac.export.doctor.registry import doctor_rule
from dilmac.tokenizer import SPACE_MARK

TRAIN_ANEW = (
    "do the same to every text before it comes to the runtime, or train a tokenizer with "
    "normalization `identity` (`dilmac tokenizer train` does)"
)
SPACES = {("Replace", " "), ("Prepend", SPACE_MARK)}  # how SentencePiece writes them


@doctor_rule("normalizer", of="folder")
def of_sentencepiece(folder: ModelFolder) -> Iterator[Finding]:
    """normalizer_spec and model type of a tokenizer.model."""
    if folder.proto is None:
        return
    rule, trainer = folder.proto.normalizer_spec, folder.proto.trainer_spec
    where = f"{TOKENIZER_MODEL}: normalizer_spec"
    if rule.name not in ("", "identity") or (rule.precompiled_charsmap and rule.name == ""):
        found = f"normalizes by {rule.name or 'a map of its own'}, llama.cpp does not"
        yield Finding("error", where, found, GGML, TRAIN_ANEW)
    if rule.remove_extra_whitespaces:
        found = "removes spaces at the ends and in rows, llama.cpp keeps them"
        yield Finding("error", where, found, GGML, TRAIN_ANEW)
    if trainer.model_type == trainer.UNIGRAM:
        yield Finding(
            "error",
            f"{TOKENIZER_MODEL}: trainer_spec.model_type",
            "a unigram model: llama.cpp reads it as BPE, or loses characters for want of its bytes",
            GGML,
            "train a BPE vocabulary (`dilmac tokenizer train` without `--algorithm unigram`)",
        )


@doctor_rule("normalizer", of="folder")
def of_json(folder: ModelFolder) -> Iterator[Finding]:
    """The normalizer of a tokenizer.json."""
    yield from faults_of(folder)


@doctor_rule("normalizer", of="gguf")
def of_gguf(file: GgufFile) -> Iterator[Finding]:
    """Keys that llama.cpp reads for unigram models alone, and the normalizer of the source."""
    if file.model not in ("llama", "gpt2"):
        return
    for key in ("precompiled_charsmap", "remove_extra_whitespaces"):
        if file.tokenizer_value(key):
            found = f"is stated, and llama.cpp does not read it for a {file.model!r} tokenizer"
            yield Finding("error", KEY + key, found, GGML, TRAIN_ANEW)
    if file.source is not None and file.source.path != file.path.parent:
        yield from faults_of(file.source)


def faults_of(folder: ModelFolder) -> Iterator[Finding]:
    """The steps of a normalizer that are not in llama.cpp."""
    normalizer = folder.spec.get("normalizer")
    if not normalizer:
        return
    for step in normalizer.get("normalizers", [normalizer]):
        if not _is_known(step, is_byte_level=folder.is_byte_level):
            yield Finding(
                "error",
                f"{TOKENIZER_JSON}: normalizer",
                f"changes a text by {step.get('type')}, llama.cpp does not",
                GGML,
                TRAIN_ANEW,
            )


def _is_known(step: dict[str, Any], *, is_byte_level: bool) -> bool:
    """Spaces as marks; NFC in a byte-level one, as in Qwen's: text is composed as a rule."""
    if is_byte_level:
        return step.get("type") == "NFC"
    old = step.get("prepend") or (step.get("pattern") or {}).get("String")
    return (step.get("type"), old) in SPACES
