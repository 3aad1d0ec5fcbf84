"""The only place where a conversation becomes ids: for training, evaluation and service alike.

ChatML, thinking as in Qwen3. The template's own parts are encoded with control tokens, every piece
of content without: whatever a user writes, it never opens or closes a turn or a thought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from dilmac.core import InputError
from dilmac.tokenizer.special import IM_END, IM_START, THINK_END, THINK_START

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")

# The same format for other tools; the generation marks give TRL its assistant mask. Reasoning is
# called `reasoning_content` there, as in Qwen3's template and in vLLM's answers.
CHAT_TEMPLATE = """\
{%- set turns = namespace(last_user=messages|length) -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{%- set turns.last_user = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- set reasoning = message['reasoning_content'] -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] != 'assistant' or reasoning is string and loop.index0 < turns.last_user -%}
{{- message['content'] + '<|im_end|>' -}}
{%- else -%}
{%- generation -%}
{%- if reasoning is string -%}
{{- '<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' -}}
{{- message['content'].lstrip('\\n') -}}
{%- else -%}
{{- message['content'] -}}
{%- endif -%}
{{- '<|im_end|>' -}}
{%- endgeneration -%}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
{%- endif -%}
"""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `reasoning` is what the assistant thought before it answered."""

    role: Role
    content: str
    reasoning: str | None = None


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
    tokenizer: ContentEncoder,
    messages: Sequence[Message],
    *,
    open_answer: bool = False,
    enable_thinking: bool = True,
) -> EncodedChat:
    """Ids of `messages` in ChatML; with `open_answer` the assistant's turn is begun.

    As in Qwen3, only answers to the last user keep their reasoning, and an open answer without
    `enable_thinking` begins with an empty thought. The mask covers what the assistant writes, its
    `<|im_end|>` too; an answer whose reasoning was left out is not learned, because it would teach
    to answer without thinking.

    Raises:
        InputError: no message, an unknown role, reasoning of another than the assistant, or a
            tokenizer without the markers.
    """
    if not messages:
        raise InputError("a conversation without messages")
    start, end = tokenizer.control_id(IM_START), tokenizer.control_id(IM_END)
    line_end = tokenizer.encode("\n")
    last_user = max(
        (place for place, message in enumerate(messages) if message.role == "user"),
        default=len(messages),
    )
    ids: list[int] = []
    mask: list[bool] = []

    def add(new: list[int], by_assistant: bool) -> None:
        ids.extend(new)
        mask.extend([by_assistant] * len(new))

    for place, message in enumerate(messages):
        _check(message)
        is_forgetful = message.reasoning is not None and place < last_user
        header, body = _turn(tokenizer, message, None if is_forgetful else message.reasoning)
        add([start, *header], False)
        add([*body, end], message.role == "assistant" and not is_forgetful)
        add(line_end, False)
    if open_answer:
        add([start, *tokenizer.encode("assistant\n")], False)
        if not enable_thinking:
            add(_thought(tokenizer, "", ""), False)
    return EncodedChat(ids, mask)


def _check(message: Message) -> None:
    if message.role not in ROLES:
        raise InputError(f"unknown role {message.role!r}", mend=f"one of {', '.join(ROLES)}")
    if message.reasoning is not None and message.role != "assistant":
        raise InputError(f"reasoning in a turn of {message.role}", mend="only the assistant thinks")


def _turn(
    tokenizer: ContentEncoder, message: Message, reasoning: str | None
) -> tuple[list[int], list[int]]:
    """Ids of a turn's header and of what is said in it."""
    header = tokenizer.encode(f"{message.role}\n")
    if reasoning is not None:
        return header, _thought(tokenizer, reasoning, message.content)
    # One string for the tokenizer: in Qwen3's vocabulary the line's end and a line's end at the
    # beginning of the content are one token, which counts as content.
    whole = tokenizer.encode(f"{message.role}\n{message.content}")
    pairs = enumerate(zip(header, whole, strict=False))
    cut = next((place for place, (ours, theirs) in pairs if ours != theirs), len(header))
    return whole[:cut], whole[cut:]


def _thought(tokenizer: ContentEncoder, reasoning: str, content: str) -> list[int]:
    return [
        tokenizer.control_id(THINK_START),
        *tokenizer.encode("\n" + reasoning.strip("\n") + "\n"),
        tokenizer.control_id(THINK_END),
        *tokenizer.encode("\n\n" + content.lstrip("\n")),
    ]
