"""The chat template for Ollama: ChatML with thinking, as `dilmac.tokenizer.CHAT_TEMPLATE` has it,
in the syntax of Go's text/template.

Ollama hands over `.Messages` (each with `.Role`, `.Content`, `.Thinking`), the system message among
them, and `.IsThinkSet` with `.Think`. Where the last message is the assistant's it is to be gone on
with, so its turn stays open.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dilmac.core import InputError
from dilmac.export.vocabulary import chat_template_of
from dilmac.tokenizer import CHAT_TEMPLATE

# Go's templates cannot add: the last message is the one from which a slice has one.
_TURNS = """\
{{- $open := true -}}
{{- range $i, $message := .Messages }}<|im_start|>{{ .Role }}
@THOUGHT@{{ .Content }}
{{- if and (eq .Role "assistant") (eq (len (slice $.Messages $i)) 1) }}{{ $open = false }}
{{- else }}<|im_end|>
{{ end }}
{{- end }}
{{- if $open }}<|im_start|>assistant
@NO_THOUGHT@{{ end }}"""
# Answers before the last user's message forget what was thought. As in the Jinja template all do
# where no user said anything.
_LAST_USER = """\
{{- $lastUser := len .Messages -}}
{{- range $i, $message := .Messages }}
{{- if eq .Role "user" }}{{ $lastUser = $i }}{{ end }}
{{- end -}}
"""
# Ollama tells a thinking model by the text around `.Thinking`, which is its mark of a thought.
_THOUGHT = """\
{{ if and (eq .Role "assistant") .Thinking (ge $i $lastUser) }}<think>
{{ .Thinking }}
</think>

{{ end }}"""
_NO_THOUGHT = """\
{{ if and .IsThinkSet (not .Think) }}<think>

</think>

{{ end }}"""

_USER = {"role": "user", "content": "Soru?"}
_SYSTEM = {"role": "system", "content": "Kısa yanıt ver."}
_ANSWER = {"role": "assistant", "content": "Yanıt."}
_THOUGHT_ANSWER = {**_ANSWER, "reasoning_content": "Düşünce"}
PROBES: tuple[list[dict[str, str]], ...] = (
    [_USER],
    [_SYSTEM, _USER],
    [_SYSTEM, _USER, _ANSWER, _USER],
    [_USER, _ANSWER, _USER, _ANSWER, _USER],
)


def go_template(*, thinks: bool) -> str:
    """The template; `thinks` says whether the vocabulary has marks for a thought."""
    turns = _TURNS.replace("@THOUGHT@", _THOUGHT if thinks else "")
    turns = turns.replace("@NO_THOUGHT@", _NO_THOUGHT if thinks else "")
    return (_LAST_USER if thinks else "") + turns


def default_system(folder: Path, *, thinks: bool) -> str:
    """The system message that a folder's own template adds where there is none; "" if it doesn't.

    Raises:
        InputError: the folder's template lays conversations out in another way than ours.
    """
    theirs = chat_template_of(folder)
    if theirs is None:
        return ""
    found: str | None = None
    for turn in PROBES if not thinks else (*PROBES, [_USER, _THOUGHT_ANSWER, _USER]):
        for options in ({}, {"enable_thinking": False}) if thinks else ({},):
            expected = _render(CHAT_TEMPLATE, turn, **options)
            rendered = _rendered(folder, theirs, turn, options)
            added = _added_system(rendered, expected)
            if turn[0] is not _SYSTEM and found is None:
                found = added
            if added is None or added != ("" if turn[0] is _SYSTEM else found):
                raise _otherwise(folder, rendered, expected)
    return found or ""


def _added_system(rendered: str, expected: str) -> str | None:
    """What a template puts before a conversation; None if that is no system message."""
    if rendered == expected:
        return ""
    ours = re.escape(expected)
    match = re.fullmatch(rf"<\|im_start\|>system\n(.*)<\|im_end\|>\n{ours}", rendered, re.DOTALL)
    return match[1] if match else None


def _rendered(folder: Path, template: str, turn: list[dict[str, str]], options: Any) -> str:
    from jinja2 import TemplateError

    try:
        return _render(template, turn, **options)
    except (TemplateError, TypeError, ValueError) as error:
        raise InputError(
            f"its chat template cannot be rendered ({error})", where=folder, mend=_MEND
        ) from error


def _render(template: str, messages: list[dict[str, str]], **options: Any) -> str:
    """A conversation by a Jinja template, the answer begun, in transformers' sandbox."""
    from transformers.utils.chat_template_utils import render_jinja_template

    made, _ = render_jinja_template(
        [messages], chat_template=template, add_generation_prompt=True, **options
    )
    return str(made[0])


_MEND = "write dilmac.tokenizer.CHAT_TEMPLATE into its chat_template.jinja, if it was trained so"


def _otherwise(folder: Path, rendered: str, expected: str) -> InputError:
    place = next(
        (at for at, (a, b) in enumerate(zip(rendered, expected, strict=False)) if a != b),
        min(len(rendered), len(expected)),
    )
    return InputError(
        f"its chat template is another than the Modelfile's: {rendered[place : place + 40]!r} "
        f"for {expected[place : place + 40]!r}",
        where=folder,
        mend=_MEND,
    )
