"""What a chat template writes: its markers, and the one that ends a turn."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import Any

from dilmac.tokenizer import CHAT_TEMPLATE

MARKER = re.compile(r"<\|[^|<>\s]{1,40}\|>|<start_of_turn>|<end_of_turn>")
ASKED, ANSWERED = "Nasılsın Ayşe?", "İyiyim, sağ ol."
TALK = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}]
SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
RICHER = ("tool", "function", "document", "image", "video")  # what ours does not write
# What a template that is foreign to us may stumble over.
FAULTS = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


class TemplateFault(Exception):  # noqa: N818  # a finding, not an error of ours
    """A template that cannot be rendered, and why."""


def render(template: str, talk: list[dict[str, Any]], names: dict[str, str], **how: Any) -> str:
    """A conversation as transformers renders it, in its sandbox.

    Raises:
        TemplateFault: it cannot be rendered.
    """
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    known = dict.fromkeys(SPECIAL, "") | names
    try:
        rendered, _ = render_jinja_template(
            conversations=[talk], chat_template=template, **known, **how
        )
    except (TemplateError, *FAULTS) as error:
        raise TemplateFault(" ".join(f"{type(error).__name__}: {error}".split())[:160]) from error
    return str(rendered[0])


def markers(text: str) -> set[str]:
    """Strings that look like markers of a turn."""
    return set(MARKER.findall(text))


def markers_of_turns(template: str, names: dict[str, str]) -> set[str]:
    """The markers of a rendered conversation: what a model reads and writes in every turn.

    Raises:
        TemplateFault: it cannot be rendered.
    """
    return markers(render(template, TALK, names, add_generation_prompt=True))


def turn_end(
    template: str, names: dict[str, str], added: Iterable[str], vocabulary: dict[str, int]
) -> str | None:
    """The token that follows an answer; None where no token of the vocabulary does.

    `added` are tokens that are read out of a text whole.

    Raises:
        TemplateFault: it cannot be rendered.
    """
    _, _, after = render(template, TALK, names).rpartition(ANSWERED)
    candidates = {name for name in {*added, *markers(after)} if name and name in after}
    if not candidates:
        return None
    first = min(candidates, key=lambda name: (after.index(name), -len(name)))
    return first if first in vocabulary else None


def is_chatml(template: str, names: dict[str, str]) -> bool:
    """Whether it writes what dilmaç's own template writes, with and without a system and an open
    answer, and knows nothing more, so that the one can stand for the other."""
    if any(word in template for word in RICHER):
        return False
    system = [{"role": "system", "content": "Kısa yaz."}]
    more = [{"role": "user", "content": "Ya sen?"}]
    talks = [TALK, system + TALK, TALK + more, more]
    try:
        return all(
            render(template, talk, names, add_generation_prompt=is_open)
            == render(CHAT_TEMPLATE, talk, names, add_generation_prompt=is_open)
            for talk, is_open in product(talks, (False, True))
        )
    except TemplateFault:
        return False
