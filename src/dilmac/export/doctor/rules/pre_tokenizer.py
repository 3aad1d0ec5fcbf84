"""How a byte-level tokenizer cuts text, and the name by which llama.cpp is told.

A GGUF has no pattern in it, only a name (`tokenizer.ggml.pre`); with another name 1 of 8 strings
differed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dilmac.export.doctor.finding import GGML, Finding
from dilmac.export.doctor.folder import TOKENIZER_JSON, ModelFolder
from dilmac.export.doctor.gguf_file import KEY, GgufFile
from dilmac.export.doctor.registry import doctor_rule
from dilmac.export.doctor.splits import KNOWN_NAMES, NAMES, names_of, splits_of

WHERE = f"{TOKENIZER_JSON}: pre_tokenizer"


@doctor_rule("pre-tokenizer", of="folder")
def of_folder(folder: ModelFolder) -> Iterator[Finding]:
    """The steps of a byte-level tokenizer.json against the patterns that llama.cpp has."""
    if not folder.is_byte_level:
        return
    steps = folder.spec.get("pre_tokenizer")
    splits = splits_of(steps)
    if not names_of(splits):
        shown = " then ".join(splits)[:120] or "nothing"
        yield Finding(
            "error",
            WHERE,
            f"cuts text by {shown}, which is none of llama.cpp's patterns that dilmaç knows "
            f"({', '.join(names[0] for names in NAMES.values())})",
            GGML,
            "have the pattern added to llama.cpp, or use a tokenizer in Qwen's manner",
        )
    yield from _odd_steps(steps)


def _odd_steps(steps: dict[str, Any] | None) -> Iterator[Finding]:
    for step in (steps or {}).get("pretokenizers", [steps or {}]):
        behavior, invert = step.get("behavior"), bool(step.get("invert"))
        if step.get("type") == "Split" and (behavior, invert) not in (
            ("Isolated", False),
            ("Removed", True),
        ):
            found = f"splits {behavior}{', inverted' if invert else ''}; llama.cpp isolates matches"
            yield Finding("error", WHERE, found, GGML, "use a tokenizer that isolates matches")
        if step.get("type") == "ByteLevel" and step.get("add_prefix_space"):
            found = "puts a space before a text; llama.cpp's byte-level reading does not"
            mend = "send text with a space before it, or train without add_prefix_space"
            yield Finding("error", WHERE, found, GGML, mend)


@doctor_rule("pre-tokenizer", of="gguf")
def of_gguf(file: GgufFile) -> Iterator[Finding]:
    """tokenizer.ggml.pre: known to llama.cpp, and the name of the source's pattern."""
    if file.model != "gpt2":
        return
    source = file.source
    right = names_of(splits_of(source.spec.get("pre_tokenizer"))) if source else ()
    stated = file.tokenizer_value("pre")
    if stated is None or (stated == "default" and not right):
        found = f"is {'missing' if stated is None else 'default'}: llama.cpp cuts by a fallback"
    elif right and stated not in right:
        found = f"is {stated!r}, the tokenizer cuts as {right[0]!r}"
    elif stated not in KNOWN_NAMES:
        found = f"is {stated!r}, which llama.cpp refuses or reads as its fallback"
    else:
        return
    yield Finding(
        "error",
        f"{KEY}pre",
        found,
        GGML,
        f"set it to {right[0]!r}" if right else "give the model's folder by --source, or convert",
        (lambda copy: copy.set(f"{KEY}pre", right[0])) if right else None,
    )
