"""The only place where a conversation becomes ids: for training, evaluation and service alike.

ChatML. The template's own parts are encoded with control tokens, every piece of content without:
whatever a user writes, it never opens or closes a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from dilmac.core import InputError
from dilmac.tokenizer.special import IM_END, IM_START

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")

# The same format for other tools; the generation marks give TRL its assistant mask.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}
{{- '\\n' -}}
{%- else -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class EncodedChat:
    """Ids of a conversation and, beside each, whether the assistant wrote it."""

    ids: list[int]
    assistant_mask: list[bool]


class ContentEncoder(Protocol):
    """What a conversation needs of a tokenizer: content without control tokens, and their ids."""

    def encode(self, text: str) -> list[int]: ...

    def control_id(self, token: str) -> int: ...


def encode_chat(
    tokenizer: ContentEncoder, messages: Sequence[Message], *, open_answer: bool = False
) -> EncodedChat:
    """Ids of `messages` in ChatML; with `open_answer` the assistant's turn is begun.

    The mask covers the assistant's content and its `<|im_end|>`, which it must learn to write.

    Raises:
        InputError: no message, an unknown role, or a tokenizer without ChatML markers.
    """
    if not messages:
        raise InputError("a conversation without messages")
    start, end = tokenizer.control_id(IM_START), tokenizer.control_id(IM_END)
    ids: list[int] = []
    mask: list[bool] = []

    def add(new: list[int], by_assistant: bool) -> None:
        ids.extend(new)
        mask.extend([by_assistant] * len(new))

    for message in messages:
        if message.role not in ROLES:
            raise InputError(f"unknown role {message.role!r}", mend=f"one of {', '.join(ROLES)}")
        is_answer = message.role == "assistant"
        add([start, *tokenizer.encode(f"{message.role}\n")], False)
        add([*tokenizer.encode(message.content), end], is_answer)
        add(tokenizer.encode("\n"), False)
    if open_answer:
        add([start, *tokenizer.encode("assistant\n")], False)
    return EncodedChat(ids, mask)
