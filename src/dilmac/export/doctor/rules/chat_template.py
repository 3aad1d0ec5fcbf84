"""The chat template: missing, broken, doubled, or another than the Modelfile's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dilmac.export.doctor.ends import names_for_template
from dilmac.export.doctor.finding import EVERYWHERE, GGML, Finding, some
from dilmac.export.doctor.folder import MODELFILE, TEMPLATE, TOKENIZER_CONFIG, ModelFolder
from dilmac.export.doctor.gguf_file import GgufFile
from dilmac.export.doctor.registry import Subject, doctor_rule
from dilmac.export.doctor.template import (
    TemplateFault,
    is_chatml,
    markers,
    markers_of_turns,
)
from dilmac.tokenizer import CHAT_TEMPLATE, IM_END, IM_START

GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
GGUF_KEY = "tokenizer.chat_template"
INSTRUCTION = re.compile(r'^\s*TEMPLATE\s+("""(?P<long>.*?)"""|"?(?P<short>[^\n]*))', re.M | re.S)


@doctor_rule("chat-template", of="folder")
def in_folder(folder: ModelFolder) -> Iterator[Finding]:
    """Missing, not to be rendered, or with markers that are no tokens."""
    if not folder.vocabulary or folder.adapter:
        return
    is_chat = {IM_START, IM_END} <= folder.vocabulary.keys()
    if folder.template is None:
        yield Finding(
            "warning" if is_chat else "note",
            TEMPLATE,
            "is missing" + (", and the vocabulary has ChatML's markers" if is_chat else ""),
            EVERYWHERE,
            "write ChatML's" if is_chat else "none is needed for a base model",
            (lambda copy: copy.write(TEMPLATE, CHAT_TEMPLATE)) if is_chat else None,
        )
        return
    yield from _rendering(folder, folder.template, next(iter(folder.templates)))


@doctor_rule("chat-template", of="folder")
def generation_marks(folder: ModelFolder) -> Iterator[Finding]:
    """Marks from which transformers and TRL know what the assistant wrote."""
    if folder.template is None or GENERATION_MARK.search(folder.template):
        return
    same = is_chatml(folder.template, names_for_template(folder))
    yield Finding(
        "note",
        next(iter(folder.templates)),
        "has no {% generation %}: an assistant mask made by it is empty",
        ("training",),
        "write dilmaç's, which renders the same" if same else "put the marks around the answer",
        (lambda copy: copy.write(TEMPLATE, CHAT_TEMPLATE)) if same else None,
    )


@doctor_rule("chat-template", of="folder")
def two_templates(folder: ModelFolder) -> Iterator[Finding]:
    """A template in a file and another in tokenizer_config.json."""
    first, *others = folder.templates.items() or [("", "")]
    other = next((place for place, text in others if text.strip() != first[1].strip()), None)
    if other is None:
        return
    fix = other.startswith(TOKENIZER_CONFIG)
    yield Finding(
        "warning",
        other,
        f"is another template than {first[0]}, which transformers takes; others take this one",
        ("vLLM", *GGML),
        f"leave {first[0]} alone in the folder",
        (lambda copy: copy.set_json(TOKENIZER_CONFIG, chat_template=None)) if fix else None,
    )


@doctor_rule("chat-template", of="folder")
def modelfile_of_folder(folder: ModelFolder) -> Iterator[Finding]:
    """The Modelfile's TEMPLATE against the folder's template."""
    yield from _against_modelfile(folder, folder.modelfile)


@doctor_rule("chat-template", of="gguf")
def in_gguf(file: GgufFile) -> Iterator[Finding]:
    """Missing, not to be rendered, or another than that of the model it was made of."""
    if not file.tokens:
        return
    original = file.source.template if file.source else None
    is_chat = {IM_START, IM_END} <= file.vocabulary.keys()
    if file.template is None:
        better = original or (CHAT_TEMPLATE if is_chat else None)
        yield Finding(
            "warning" if better else "note",
            GGUF_KEY,
            "is missing: llama.cpp guesses a format",
            GGML,
            "write the model's" if original else "write ChatML's" if better else "none is needed",
            (lambda copy: copy.set(GGUF_KEY, better)) if better else None,
        )
        return
    yield from _rendering(file, file.template, GGUF_KEY)
    if original and (apart := markers(original) ^ markers(file.template)):
        yield Finding(
            "error",
            GGUF_KEY,
            f"uses other markers than the model's template: {some(sorted(apart))}",
            GGML,
            "write the model's",
            lambda copy: copy.set(GGUF_KEY, original),
        )


@doctor_rule("chat-template", of="gguf")
def modelfile_of_gguf(file: GgufFile) -> Iterator[Finding]:
    """The Modelfile's TEMPLATE against the GGUF's template."""
    beside = file.source
    if beside is None or beside.path != file.path.parent or beside.template is None:
        yield from _against_modelfile(file, file.modelfile)


def _rendering(subject: Subject, template: str, where: str) -> Iterator[Finding]:
    try:
        used = markers_of_turns(template, names_for_template(subject))
    except TemplateFault as fault:
        mend = "correct it; a conversation of a user and an assistant must render"
        yield Finding("error", where, f"cannot be rendered ({fault})", EVERYWHERE, mend)
        return
    if missing := sorted(used - subject.vocabulary.keys()):
        yield Finding(
            "warning",
            where,
            f"{some(missing)}: no token of the vocabulary, so that it is cut into pieces",
            EVERYWHERE,
            "use the tokenizer or the template that the model was trained with",
        )


def _against_modelfile(subject: Subject, modelfile: str | None) -> Iterator[Finding]:
    if modelfile is None or subject.template is None:
        return
    stated = INSTRUCTION.search(modelfile)
    if stated is None:
        return  # Ollama takes the GGUF's
    theirs = markers(stated["long"] or stated["short"] or "")
    try:
        ours = markers_of_turns(subject.template, names_for_template(subject))
    except TemplateFault:
        return
    # A Modelfile may write more (tools), and leave to PARAMETER stop what it does not write.
    if missing := sorted(ours - theirs):
        yield Finding(
            "error",
            f"{MODELFILE}: TEMPLATE",
            f"does not write {some(missing)}, which the model's chat template writes"
            + (f"; it writes {some(sorted(theirs))}" if theirs else ""),
            ("Ollama",),
            "write the same format in it, or take TEMPLATE out: Ollama then takes the GGUF's",
        )
