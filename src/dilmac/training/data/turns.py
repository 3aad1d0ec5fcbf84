"""Lists of turns into messages: roles, texts, and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dilmac.core import InputError
from dilmac.tokenizer import Message, Role
from dilmac.training.data.fields import Fields, kind_of, list_in, nearest, text_if_any, text_in


class Naming(NamedTuple):
    """How a format calls a turn's role and text, and the roles."""

    role: str
    text: str
    roles: Mapping[str, Role]


CHATML = Naming("role", "content", {"system": "system", "user": "user", "assistant": "assistant"})
# Names that occur in published ShareGPT files.
SHAREGPT = Naming(
    "from",
    "value",
    {
        "system": "system",
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "assistant": "assistant",
        "model": "assistant",
        "chatgpt": "assistant",
        "bing": "assistant",
        "bard": "assistant",
    },
)
_TOOL_ROLES = ("tool", "function", "function_call", "observation", "ipython")
_TOOL_FIELDS = ("tool_calls", "function_call", "tool_call_id")


def turns_in(values: Fields, name: str, where: str, naming: Naming = CHATML) -> tuple[Message, ...]:
    """Messages of a list field, in order; see `check_order` for which orders are good.

    Raises:
        InputError: an item is no turn, its role is unknown, or its text is missing or empty.
    """
    return tuple(
        _turn(item, f"{name}[{place}]", where, naming)
        for place, item in enumerate(list_in(values, name, where))
    )


def _turn(item: object, path: str, where: str, naming: Naming) -> Message:
    if not isinstance(item, Mapping):
        raise InputError(
            f"field {path!r} is {kind_of(item)}, not an object",
            where=where,
            mend=f'give {{"{naming.role}": …, "{naming.text}": …}}',
        )
    for field in _TOOL_FIELDS:
        if item.get(field):
            raise InputError(
                f"field {path + '.' + field!r}: calls of tools cannot be learned yet",
                where=where,
                mend="remove the record",
            )
    named = text_in(item, naming.role, where, path=f"{path}.")
    role = naming.roles.get(named)
    if role is None:
        raise InputError(
            f"field {path + '.' + naming.role!r}: unknown role {named!r}",
            where=where,
            mend=_role_meant(named, naming),
        )
    text = text_in(item, naming.text, where, path=f"{path}.")
    reasoning = text_if_any(item, "reasoning_content", where, path=f"{path}.")
    if reasoning is not None and role != "assistant":
        raise InputError(
            f"field {path + '.reasoning_content'!r} in a turn of the {role}",
            where=where,
            mend="only the assistant thinks: remove it",
        )
    return Message(role, text, reasoning)


def _role_meant(named: str, naming: Naming) -> str:
    if named in _TOOL_ROLES:
        return "turns of tools cannot be learned yet: remove the record"
    near = nearest(named, naming.roles)
    return f"did you mean {near!r}?" if near else f"one of {', '.join(naming.roles)}"


def check_order(messages: Sequence[Message], field: str, where: str) -> None:
    """See that the system speaks first or not, user and assistant by turns, the assistant last.

    Raises:
        InputError: the order is another one.
    """
    begin = 1 if messages[0].role == "system" else 0
    expected: Role = "user"
    for place, message in enumerate(messages[begin:], start=begin):
        shown = f"field {f'{field}[{place}]'!r}"
        if message.role == "system":
            raise InputError(
                f"{shown} is a system turn, which can only be the first",
                where=where,
                mend="move it to the front, or remove it",
            )
        if message.role != expected:
            is_first = place == begin
            raise InputError(
                f"{shown} is {'the first turn' if is_first else 'a second turn in a row'} "
                f"of the {message.role}",
                where=where,
                mend="the user speaks first, then both by turns: join or remove turns",
            )
        expected = "assistant" if expected == "user" else "user"
    if messages[-1].role != "assistant":
        raise InputError(
            f"field {field!r} ends with a turn of the {messages[-1].role}",
            where=where,
            mend="the last turn is the answer that is learned: add it, or remove the turn",
        )
